/**
 * The answers to prompts of one photo, click by click: what `sam_jax/data_engine/segmenter.py` does on the server, with
 * the same choices.
 */

import type { Size } from "../shared/framing";
import { maskToLogits } from "../shared/mask_prompts";
import { logitsOf, type Masks } from "../shared/messages";
import { placePrompt, type Placed } from "../shared/prompts";
import { decodeRle } from "../shared/runs";
import type { Prompt } from "./server";

/** The logits that follow from a prompt, of three masks or of one, and their predicted IoU. */
export interface Answer {
  readonly logits: readonly Float32Array[];
  readonly iou: readonly number[];
  readonly low: Size;
}

export type Decode = (placed: Placed, previous?: Float32Array) => Promise<Masks>;

/** Of the four masks, the one for all prompts together, and the three for an ambiguous prompt. */
const TOGETHER = [0];
const THREE = [1, 2, 3];
const MOST_ANSWERS = 64;

/** The number of the mask that a choice means: of several the best where none was chosen, or the only one. */
export function choose({ iou }: Answer, choice: number | null): number {
  if (iou.length === 1) return 0;
  return choice ?? iou.indexOf(Math.max(...iou));
}

export class Answers {
  private readonly known = new Map<string, Answer>();

  constructor(
    private readonly decode: Decode,
    private readonly photo: Size,
    private readonly frame: Size,
  ) {}

  /** Logits that follow from a prompt: its clicks one by one, each with the answer to those before it. */
  async answer(prompt: Prompt): Promise<Answer> {
    const { clicks, base, box, choice } = prompt;
    const first = box ? 0 : 1;
    const whole = clicks.length > first || base !== null ? prompt : { ...prompt, choice: null };
    // From the longest part of the prompt that was answered before, on to all of it.
    let count = clicks.length;
    let known: Answer | undefined;
    for (; count >= first; count--) {
      known = this.recall(part(whole, count, first));
      if (known) break;
    }
    for (count++; count <= clicks.length; count++) {
      const asked = part(whole, count, first);
      known = await this.decodePart(asked, known, choice);
      this.known.set(JSON.stringify(asked), known);
      if (this.known.size > MOST_ANSWERS) this.known.delete(this.known.keys().next().value!);
    }
    if (!known) throw new Error("a mask is refined by a click at least");
    return known;
  }

  private recall(prompt: Prompt): Answer | undefined {
    const key = JSON.stringify(prompt);
    const answer = this.known.get(key);
    if (answer) {
      this.known.delete(key);
      this.known.set(key, answer);
    }
    return answer;
  }

  private async decodePart({ base, box, clicks }: Prompt, before: Answer | undefined, choice: number | null): Promise<Answer> {
    let previous: Float32Array | undefined;
    if (before) previous = before.logits[choose(before, choice)];
    else if (base !== null) previous = maskToLogits(decodeRle({ size: [this.photo.height, this.photo.width], counts: base }), this.frame);
    const masks = await this.decode(placePrompt(clicks, box, this.photo, this.frame), previous);
    const wanted = previous || box ? TOGETHER : THREE; // a click alone is ambiguous
    return {
      logits: wanted.map((index) => logitsOf(masks, index).slice()),
      iou: wanted.map((index) => masks.iou[index]),
      low: masks.low,
    };
  }
}

/** The prompt up to a number of clicks; the choice of a mask matters only to what follows it. */
function part({ base, box, clicks, choice }: Prompt, count: number, first: number): Prompt {
  const isFirst = count === first && base === null;
  return { base, box, clicks: clicks.slice(0, count), choice: isFirst ? null : choice };
}
