import { expect, test } from "vitest";
import { Prompt } from "./prompt";

const PHOTO = { height: 200, width: 400 };
const FRAME = { height: 100, width: 100 };

test("a click is followed by the padding point, in pixels of the frame", () => {
  const prompt = new Prompt();
  prompt.add({ point: [40, 80], isInside: true });
  expect(prompt.inFrame(PHOTO, FRAME)).toEqual({ points: [[10, 20], [0, 0]], labels: [1, -1] });
  expect(prompt.isAmbiguous).toBe(true);
});

test("a box is two corners after the clicks, without a padding point, and there is one at most", () => {
  const prompt = new Prompt();
  prompt.add({ box: [0, 0, 4, 4] });
  prompt.add({ point: [40, 80], isInside: false });
  prompt.add({ box: [40, 40, 80, 160] });
  const expected = { points: [[10, 20], [10, 10], [20, 40]], labels: [0, 2, 3] };
  expect(prompt.inFrame(PHOTO, FRAME)).toEqual(expected);
  expect(prompt.isAmbiguous).toBe(false);
  prompt.undo();
  expect(prompt.inFrame(PHOTO, FRAME).labels).toEqual([0, -1]);
  prompt.clear();
  expect(prompt.isEmpty).toBe(true);
});
