import { expect, test } from "vitest";
import type { Click } from "../shared/prompts";
import { emptyRuns, encodeRle } from "../shared/runs";
import { Answers, choose } from "./answers";
import type { Prompt } from "./server";

const LOW = { height: 4, width: 6 };
const FRAME = { height: 16, width: 24 };
const PHOTO = { height: 32, width: 48 };
const CLICKS: readonly Click[] = [[10, 20, 1], [30, 4, 0], [12, 12, 1]];

/** Answers of a decoder that numbers what it gives, and notes what it was asked. */
function begin(iou = [0, 0.3, 0.9, 0.5]) {
  const asked: { labels: readonly number[]; previous: number | undefined }[] = [];
  const answers = new Answers(
    async ({ labels }, previous) => {
      asked.push({ labels, previous: previous?.[0] });
      const logits = Float32Array.from({ length: 4 * 24 }, (_, at) => 10 * asked.length + Math.floor(at / 24));
      return { logits, low: LOW, iou: Float32Array.from(iou), milliseconds: 1 };
    },
    PHOTO,
    FRAME,
  );
  return { asked, answers };
}

function promptOf(count: number, others: Partial<Prompt> = {}): Prompt {
  return { base: null, box: null, clicks: CLICKS.slice(0, count), choice: null, ...others };
}

test("a first click has three masks, and further ones go on from the chosen one", async () => {
  const { asked, answers } = begin();
  const first = await answers.answer(promptOf(1));
  expect(first.logits.map((logits) => logits[0])).toEqual([11, 12, 13]);
  expect(choose(first, null)).toBe(1);
  expect(choose(first, 2)).toBe(2);
  expect((await answers.answer(promptOf(3))).logits.map((logits) => logits[0])).toEqual([30]);
  // Another choice changes what follows the first click, which itself is not asked again.
  await answers.answer(promptOf(2, { choice: 0 }));
  expect(asked).toEqual([
    { labels: [1, -1], previous: undefined },
    { labels: [1, 0, -1], previous: 12 },
    { labels: [1, 0, 1, -1], previous: 20 },
    { labels: [1, 0, -1], previous: 11 },
  ]);
  await answers.answer(promptOf(3));
  expect(asked.length).toBe(4);
});

test("a box comes first, with one mask", async () => {
  const { asked, answers } = begin();
  await answers.answer(promptOf(1, { box: [4, 4, 20, 30] }));
  expect(asked).toEqual([
    { labels: [2, 3], previous: undefined },
    { labels: [1, 2, 3], previous: 10 },
  ]);
});

test("the first click into a mask goes on from the mask", async () => {
  const { asked, answers } = begin();
  const empty = encodeRle(emptyRuns(PHOTO.height, PHOTO.width)).counts;
  const answer = await answers.answer(promptOf(1, { base: empty }));
  expect(answer.logits.length).toBe(1);
  expect(asked).toEqual([{ labels: [1, -1], previous: -10 }]);
  await expect(answers.answer(promptOf(0, { base: empty }))).rejects.toThrow("by a click at least");
});
