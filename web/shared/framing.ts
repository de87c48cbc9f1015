/** Where a photo lies in the model's padded input, and masks from there back at the photo's size. */

import type { Runs } from "./runs";

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** Size that a photo is resized to, so that it just fits into the frame: the official rule. */
export function fitSize(photo: Size, frame: Size): Size {
  const scale = Math.min(frame.height / photo.height, frame.width / photo.width);
  return {
    height: Math.max(1, Math.floor(photo.height * scale + 0.5)),
    width: Math.max(1, Math.floor(photo.width * scale + 0.5)),
  };
}

/** Neighbouring samples that one sample of a result mixes: two in a frame that is at least twice as fine. */
const TAPS = 3;

/** Of every sample of a result: the first of the places that it mixes, and their weights. */
interface Mixture {
  readonly first: Int32Array;
  readonly weights: Float64Array;
}

function between(index: number, sizeIn: number, sizeOut: number): [lower: number, upper: number, share: number] {
  const centre = Math.min(sizeIn - 1, Math.max(0, ((index + 0.5) * sizeIn) / sizeOut - 0.5));
  const lower = Math.floor(centre);
  return [lower, Math.min(lower + 1, sizeIn - 1), centre - lower];
}

/** The two official steps along one axis as one: enlarged to the frame, cut, resized to the photo. */
function mix(low: number, frame: number, fitted: number, original: number): Mixture {
  const first = new Int32Array(original);
  const weights = new Float64Array(original * TAPS);
  for (let index = 0; index < original; index++) {
    const [before, after, share] = between(index, fitted, original);
    first[index] = Math.min(between(before, low, frame)[0], low - TAPS);
    for (const [place, weight] of [
      [before, 1 - share],
      [after, share],
    ]) {
      const [lower, upper, part] = between(place, low, frame);
      const at = index * TAPS - first[index];
      if (weight > 0) weights[at + lower] += weight * (1 - part);
      if (weight * part > 0) weights[at + upper] += weight * part;
    }
  }
  return { first, weights };
}

/** Rows of a result that mix the same rows. */
interface Group {
  /** First of the rows that are mixed. */
  readonly first: number;
  readonly start: number;
  /** One beyond the last row. */
  stop: number;
}

function group({ first }: Mixture): Group[] {
  const groups: Group[] = [];
  first.forEach((place, row) => {
    if (row > 0 && place === first[row - 1]) groups[groups.length - 1].stop = row + 1;
    else groups.push({ first: place, start: row, stop: row + 1 });
  });
  return groups;
}

/**
 * The pixels in which low-resolution logits are above 0, without drawing them.
 *
 * A row of the result mixes three rows of the logits. Where these have one sign, so has the result; only near its
 * outline are pixels computed.
 *
 * @param size Size of the mask: the photo's, or less.
 */
export function threshold(logits: Float32Array, low: Size, frame: Size, photo: Size, size: Size = photo): Runs {
  const fitted = fitSize(photo, frame);
  const { height, width } = size;
  const rows = mix(low.height, frame.height, fitted.height, height);
  const columns = mix(low.width, frame.width, fitted.width, width);
  const groups = group(rows);
  const column = new Float64Array(low.height);
  const edges: number[] = [];
  let isInside = false;
  const note = (value: boolean, place: number) => {
    if (value === isInside) return;
    edges.push(place);
    isInside = value;
  };
  for (let x = 0; x < width; x++) {
    const [a, b, c] = columns.weights.subarray(x * TAPS, (x + 1) * TAPS);
    let hasInside = false;
    for (let y = 0, at = columns.first[x]; y < low.height; y++, at += low.width) {
      const value = a * logits[at] + b * logits[at + 1] + c * logits[at + 2];
      column[y] = value;
      if (value > 0) hasInside = true;
    }
    if (!hasInside) {
      note(false, x * height);
      continue;
    }
    for (const { first, start, stop } of groups) {
      const above = column[first];
      const middle = column[first + 1];
      const below = column[first + 2];
      const isFull = above > 0 && middle > 0 && below > 0;
      if (isFull || !(above > 0 || middle > 0 || below > 0)) {
        note(isFull, x * height + start);
        continue;
      }
      for (let y = start, at = y * TAPS; y < stop; y++, at += TAPS) {
        const value = rows.weights[at] * above + rows.weights[at + 1] * middle + rows.weights[at + 2] * below;
        note(value > 0, x * height + y);
      }
    }
  }
  note(false, width * height);
  return { height, width, edges: Uint32Array.from(edges) };
}
