/**
 * Masks as runs of pixels, and their run-length encoding as COCO and SA-1B store it.
 *
 * Pixels are counted column by column. A mask of a photo of 100 megapixels is a few thousand numbers, and is measured,
 * edited and drawn without ever being a picture.
 */

export interface Runs {
  readonly height: number;
  readonly width: number;
  /** Where each run begins and ends, in turns and ascending; runs do not touch, but at the ends of columns they may. */
  readonly edges: Uint32Array;
}

export interface Bounds {
  readonly left: number;
  readonly top: number;
  /** One beyond the last column. */
  readonly right: number;
  /** One beyond the last row. */
  readonly bottom: number;
}

/** The wire format: size is height and width, counts COCO's string. */
export interface Rle {
  readonly size: readonly [number, number];
  readonly counts: string;
}

const FIRST_CHARACTER = 48;
const CHUNK_BITS = 5;
const MORE = 1 << CHUNK_BITS;
const SIGN = 1 << (CHUNK_BITS - 1);

export function emptyRuns(height: number, width: number): Runs {
  return { height, width, edges: new Uint32Array(0) };
}

/** Decodes a mask; throws if its runs do not fill it. */
export function decodeRle(rle: Rle): Runs {
  const [height, width] = rle.size;
  const counts = unpackCounts(rle.counts);
  const edges: number[] = [];
  let place = 0;
  counts.forEach((count, index) => {
    if (count < 0) throw new Error("a damaged mask: it has a run of negative length");
    if (index % 2 === 1 && count > 0) {
      if (edges.length && edges[edges.length - 1] === place) edges[edges.length - 1] = place + count;
      else edges.push(place, place + count);
    }
    place += count;
  });
  if (place !== height * width) throw new Error(`a damaged mask: its runs do not fill ${width}×${height} pixels`);
  return { height, width, edges: Uint32Array.from(edges) };
}

export function encodeRle(runs: Runs): Rle {
  const counts: number[] = [];
  let place = 0;
  for (const edge of runs.edges) {
    counts.push(edge - place);
    place = edge;
  }
  const rest = runs.height * runs.width - place;
  if (rest > 0 || counts.length === 0) counts.push(rest);
  return { size: [runs.height, runs.width], counts: packCounts(counts) };
}

/** COCO's string: from the fourth on, a number is stored as its difference to the number two before it. */
function packCounts(counts: readonly number[]): string {
  const characters: string[] = [];
  counts.forEach((count, index) => {
    let rest = index > 2 ? count - counts[index - 2] : count;
    for (;;) {
      const chunk = rest & (MORE - 1);
      rest >>= CHUNK_BITS;
      const isLast = rest === (chunk & SIGN ? -1 : 0);
      characters.push(String.fromCharCode(chunk + (isLast ? 0 : MORE) + FIRST_CHARACTER));
      if (isLast) break;
    }
  });
  return characters.join("");
}

function unpackCounts(text: string): number[] {
  const counts: number[] = [];
  let number = 0;
  let shift = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index) - FIRST_CHARACTER;
    if (code < 0 || code >= 2 * MORE || shift > 30) throw new Error("a damaged mask: not a string of COCO's counts");
    number |= (code & (MORE - 1)) << shift;
    shift += CHUNK_BITS;
    if (code & MORE) continue;
    if (code & SIGN && shift < 32) number |= -1 << shift;
    counts.push(counts.length > 2 ? number + counts[counts.length - 2] : number);
    number = shift = 0;
  }
  if (shift > 0) throw new Error("a damaged mask: it ends in the middle of a number");
  return counts;
}

export function area(runs: Runs): number {
  let pixels = 0;
  for (let k = 0; k < runs.edges.length; k += 2) pixels += runs.edges[k + 1] - runs.edges[k];
  return pixels;
}

/** The box that holds all pixels; undefined for a mask without any. */
export function bounds(runs: Runs): Bounds | undefined {
  const { height, edges } = runs;
  if (edges.length === 0) return undefined;
  let top = height;
  let bottom = 0;
  for (let k = 0; k < edges.length; k += 2) {
    const first = edges[k] % height;
    const last = (edges[k + 1] - 1) % height;
    const crosses = Math.floor(edges[k] / height) !== Math.floor((edges[k + 1] - 1) / height);
    top = crosses ? 0 : Math.min(top, first);
    bottom = crosses ? height : Math.max(bottom, last + 1);
  }
  return {
    left: Math.floor(edges[0] / height),
    top,
    right: Math.floor((edges[edges.length - 1] - 1) / height) + 1,
    bottom,
  };
}

/** Index of the first edge that is greater than a place: odd inside of a run. */
export function firstEdgeAfter(edges: Uint32Array, place: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (edges[middle] > place) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function contains(runs: Runs, x: number, y: number): boolean {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= runs.width || row >= runs.height) return false;
  return firstEdgeAfter(runs.edges, column * runs.height + row) % 2 === 1;
}

export function union(one: Runs, other: Runs): Runs {
  return merge(one, other, (inOne, inOther) => inOne || inOther);
}

export function subtract(one: Runs, other: Runs): Runs {
  return merge(one, other, (inOne, inOther) => inOne && !inOther);
}

function merge(one: Runs, other: Runs, isIn: (inOne: boolean, inOther: boolean) => boolean): Runs {
  const [a, b] = [one.edges, other.edges];
  const edges = new Uint32Array(a.length + b.length);
  let [i, j, count] = [0, 0, 0];
  while (i < a.length || j < b.length) {
    const place = Math.min(i < a.length ? a[i] : Infinity, j < b.length ? b[j] : Infinity);
    while (i < a.length && a[i] === place) i++;
    while (j < b.length && b[j] === place) j++;
    if (isIn(i % 2 === 1, j % 2 === 1) !== (count % 2 === 1)) edges[count++] = place;
  }
  return { height: one.height, width: one.width, edges: edges.slice(0, count) };
}

/** Pixels whose centre is no farther than a radius from the way between two points: the stroke of a round brush. */
export function strokeRuns(
  height: number,
  width: number,
  from: readonly [number, number],
  to: readonly [number, number],
  radius: number,
): Runs {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  const edges: number[] = [];
  const first = Math.max(0, Math.floor(Math.min(from[0], to[0]) - radius));
  const last = Math.min(width - 1, Math.ceil(Math.max(from[0], to[0]) + radius));
  for (let column = first; column <= last; column++) {
    const x = column + 0.5;
    let [low, high] = [Infinity, -Infinity];
    const take = (one: number, other: number) => {
      low = Math.min(low, one);
      high = Math.max(high, other);
    };
    for (const end of [from, to]) {
      const half = radius * radius - (x - end[0]) ** 2;
      if (half >= 0) take(end[1] - Math.sqrt(half), end[1] + Math.sqrt(half));
    }
    if (length > 0) {
      // The sides of the way are the corners of a rectangle; the column crosses it between its edges.
      const [nx, ny] = [(-dy / length) * radius, (dx / length) * radius];
      const corners = [
        [from[0] + nx, from[1] + ny],
        [to[0] + nx, to[1] + ny],
        [to[0] - nx, to[1] - ny],
        [from[0] - nx, from[1] - ny],
      ];
      corners.forEach(([ax, ay], k) => {
        const [bx, by] = corners[(k + 1) % 4];
        if (Math.min(ax, bx) <= x && x <= Math.max(ax, bx)) {
          if (ax === bx) take(Math.min(ay, by), Math.max(ay, by));
          else {
            const y = ay + ((x - ax) / (bx - ax)) * (by - ay);
            take(y, y);
          }
        }
      });
    }
    const top = Math.max(0, Math.ceil(low - 0.5));
    const bottom = Math.min(height, Math.floor(high - 0.5) + 1);
    if (top < bottom) {
      const [start, end] = [column * height + top, column * height + bottom];
      if (edges.length && edges[edges.length - 1] === start) edges[edges.length - 1] = end;
      else edges.push(start, end);
    }
  }
  return { height, width, edges: Uint32Array.from(edges) };
}
