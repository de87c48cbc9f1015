import { describe, expect, test } from "vitest";
import { area, bounds, contains, decodeRle, encodeRle, strokeRuns, subtract, union, type Runs } from "./runs";

const HEIGHT = 7;
const WIDTH = 5;

function fromPixels(isIn: (x: number, y: number) => boolean): Runs {
  const edges: number[] = [];
  let before = false;
  for (let place = 0; place <= HEIGHT * WIDTH; place++) {
    const now = place < HEIGHT * WIDTH && isIn(Math.floor(place / HEIGHT), place % HEIGHT);
    if (now !== before) edges.push(place);
    before = now;
  }
  return { height: HEIGHT, width: WIDTH, edges: Uint32Array.from(edges) };
}

describe("runs", () => {
  test("COCO's string is read and written as pycocotools does", () => {
    // From pycocotools: a mask of 7×5 pixels with rows 1 to 4 of columns 1 and 3, and all of column 4.
    const mask = fromPixels((x, y) => ((x === 1 || x === 3) && y >= 1 && y < 5) || x === 4);
    expect(encodeRle(mask)).toEqual({ size: [7, 5], counts: "84:0H3" });
    expect(decodeRle({ size: [7, 5], counts: "84:0H3" })).toEqual(mask);
  });

  test("long runs, empty masks and full ones come back", () => {
    for (const edges of [[], [0, 90_000_000], [5, 40_000, 70_000_001, 89_999_999], [1, 2, 3, 60_000_000]]) {
      const mask = { height: 9000, width: 10_000, edges: Uint32Array.from(edges) };
      expect(decodeRle(encodeRle(mask))).toEqual(mask);
    }
  });

  test.each(["", "0", "84:0H", "84:0H3z", "\u0000", "pppppppppp"])("the damaged string %j is refused", (counts) => {
    expect(() => decodeRle({ size: [7, 5], counts })).toThrow("damaged");
  });

  test("area, bounds and contains agree with the pixels", () => {
    const mask = fromPixels((x, y) => x >= 1 && x < 4 && y >= 2 && y < 5 + (x % 2));
    expect(area(mask)).toBe(4 + 3 + 4);
    expect(bounds(mask)).toEqual({ left: 1, top: 2, right: 4, bottom: 6 });
    expect(contains(mask, 1.5, 5.9)).toBe(true);
    expect(contains(mask, 2.5, 5.1)).toBe(false);
    expect(contains(mask, -1, 3)).toBe(false);
    expect(bounds(fromPixels(() => false))).toBeUndefined();
  });

  test("union and difference are those of the pixels", () => {
    let seed = 1;
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    for (let round = 0; round < 50; round++) {
      const [p, q] = [0, 1].map(() => Array.from({ length: HEIGHT * WIDTH }, () => random() < 0.5));
      const at = (pixels: boolean[]) => (x: number, y: number) => pixels[x * HEIGHT + y];
      const [one, other] = [fromPixels(at(p)), fromPixels(at(q))];
      expect(union(one, other)).toEqual(fromPixels((x, y) => at(p)(x, y) || at(q)(x, y)));
      expect(subtract(one, other)).toEqual(fromPixels((x, y) => at(p)(x, y) && !at(q)(x, y)));
    }
  });

  test("a stroke has the pixels that are near to its way, and none beyond the photo", () => {
    const [from, to, radius]: [[number, number], [number, number], number] = [[-1, 2.2], [3.4, 5.1], 1.3];
    const distance = (x: number, y: number) => {
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      const along = ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy);
      const part = Math.min(1, Math.max(0, along));
      return Math.hypot(x - from[0] - part * dx, y - from[1] - part * dy);
    };
    const wanted = fromPixels((x, y) => distance(x + 0.5, y + 0.5) <= radius);
    expect(strokeRuns(HEIGHT, WIDTH, from, to, radius)).toEqual(wanted);
    expect(area(strokeRuns(HEIGHT, WIDTH, [2.5, 3.5], [2.5, 3.5], 0.4))).toBe(1);
  });
});
