/** Masks of a photo as mask prompts. */

import { fitSize, type Size } from "./framing";
import type { Runs } from "./runs";

/** Magnitude of the logits inside and outside a mask. */
const CERTAIN_LOGIT = 10;
/** Sides of the frame over those of low-resolution logits. */
const FINER = 4;

/** Shares that pixels along one axis have in one sample of the logits. */
interface Share {
  /** The first pixel that has one, and one beyond the last. */
  readonly start: number;
  readonly stop: number;
  /** Sums of the shares of all pixels before each, from the first on. */
  readonly sums: Float64Array;
}

/**
 * How pixels along one axis are resized to the frame, bilinear with antialias, and four each become one sample: what is
 * beyond the photo counts as outside.
 */
function share(low: number, fitted: number, original: number): Share[] {
  const scale = original / fitted;
  const support = Math.max(1, scale);
  return Array.from({ length: low }, (_, sample) => {
    const shares = new Map<number, number>();
    for (let index = sample * FINER; index < Math.min(fitted, (sample + 1) * FINER); index++) {
      const centre = (index + 0.5) * scale;
      const from = Math.max(0, Math.floor(centre - support + 0.5));
      const to = Math.min(original, Math.floor(centre + support + 0.5));
      const weights = Array.from({ length: to - from }, (_, k) => Math.max(0, 1 - Math.abs(from + k + 0.5 - centre) / support));
      const sum = weights.reduce((one, other) => one + other, 0);
      weights.forEach((weight, k) => shares.set(from + k, (shares.get(from + k) ?? 0) + weight / sum / FINER));
    }
    const start = shares.size ? Math.min(...shares.keys()) : 0;
    const stop = shares.size ? Math.max(...shares.keys()) + 1 : 0;
    const sums = new Float64Array(stop - start + 1);
    for (let place = start; place < stop; place++) sums[place - start + 1] = sums[place - start] + (shares.get(place) ?? 0);
    return { start, stop, sums };
  });
}

/** The share of the pixels from one place up to another. */
function weigh({ start, stop, sums }: Share, from: number, to: number): number {
  const within = (place: number) => Math.min(stop, Math.max(start, place)) - start;
  return sums[within(to)] - sums[within(from)];
}

/** Low-resolution logits of a mask at the photo's size; the server rounds to 8 bits in between. */
export function maskToLogits(mask: Runs, frame: Size): Float32Array {
  const { height, width, edges } = mask;
  const fitted = fitSize(mask, frame);
  const low = { height: frame.height / FINER, width: frame.width / FINER };
  const rows = share(low.height, fitted.height, height);
  const columns = share(low.width, fitted.width, width);
  const inside = new Float64Array(low.height * low.width);
  const column = new Float64Array(low.height);
  let present = -1;
  const spread = () => {
    for (let across = 0; present >= 0 && across < low.width; across++) {
      const weight = weigh(columns[across], present, present + 1);
      if (weight === 0) continue;
      for (let down = 0; down < low.height; down++) inside[down * low.width + across] += weight * column[down];
    }
    column.fill(0);
  };
  for (let k = 0; k < edges.length; k += 2) {
    for (let from = edges[k]; from < edges[k + 1]; ) {
      const x = Math.floor(from / height);
      if (x !== present) {
        spread();
        present = x;
      }
      const to = Math.min(edges[k + 1], (x + 1) * height);
      rows.forEach((row, down) => (column[down] += weigh(row, from - x * height, to - x * height)));
      from = to;
    }
  }
  spread();
  return Float32Array.from(inside, (value) => CERTAIN_LOGIT * (2 * value - 1));
}
