/** Where a photo lies in the model's padded input, and masks from there back at the photo's size. */

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

/** Of every sample of a result: the places that it mixes, and their weights. */
interface Taps {
  readonly places: Int32Array;
  readonly weights: Float64Array;
}

const TAPS = 4;

function between(index: number, sizeIn: number, sizeOut: number): [lower: number, upper: number, share: number] {
  const centre = Math.min(sizeIn - 1, Math.max(0, ((index + 0.5) * sizeIn) / sizeOut - 0.5));
  const lower = Math.floor(centre);
  return [lower, Math.min(lower + 1, sizeIn - 1), centre - lower];
}

/** The two official steps along one axis as one: enlarged to the frame, cut, resized to the photo. */
function plan(low: number, frame: number, fitted: number, original: number): Taps {
  const places = new Int32Array(original * TAPS);
  const weights = new Float64Array(original * TAPS);
  for (let index = 0; index < original; index++) {
    const [first, second, share] = between(index, fitted, original);
    [
      [first, 1 - share],
      [second, share],
    ].forEach(([place, weight], step) => {
      const [lower, upper, part] = between(place, low, frame);
      const at = index * TAPS + 2 * step;
      places[at] = lower;
      weights[at] = weight * (1 - part);
      places[at + 1] = upper;
      weights[at + 1] = weight * part;
    });
  }
  return { places, weights };
}

/** Which pixels of a photo are above 0, row by row, of low-resolution logits. */
export function enlarge(logits: Float32Array, low: Size, frame: Size, photo: Size): Uint8Array {
  const fitted = fitSize(photo, frame);
  const rows = plan(low.height, frame.height, fitted.height, photo.height);
  const columns = plan(low.width, frame.width, fitted.width, photo.width);
  const wide = new Float32Array(low.height * photo.width);
  for (let y = 0; y < low.height; y++) {
    for (let x = 0; x < photo.width; x++) {
      let sum = 0;
      for (let tap = x * TAPS; tap < (x + 1) * TAPS; tap++) {
        sum += columns.weights[tap] * logits[y * low.width + columns.places[tap]];
      }
      wide[y * photo.width + x] = sum;
    }
  }
  const mask = new Uint8Array(photo.height * photo.width);
  for (let y = 0; y < photo.height; y++) {
    const at = y * TAPS;
    const starts = [0, 1, 2, 3].map((tap) => rows.places[at + tap] * photo.width);
    const [a, b, c, d] = [0, 1, 2, 3].map((tap) => rows.weights[at + tap]);
    for (let x = 0; x < photo.width; x++) {
      const sum =
        a * wide[starts[0] + x] + b * wide[starts[1] + x] + c * wide[starts[2] + x] + d * wide[starts[3] + x];
      if (sum > 0) mask[y * photo.width + x] = 1;
    }
  }
  return mask;
}
