import { expect, test } from "vitest";
import { maskToLogits } from "./mask_prompts";
import type { Runs } from "./runs";

function fromPixels(height: number, width: number, isIn: (x: number, y: number) => boolean): Runs {
  const edges: number[] = [];
  let before = false;
  for (let place = 0; place <= height * width; place++) {
    const now = place < height * width && isIn(Math.floor(place / height), place % height);
    if (now !== before) edges.push(place);
    before = now;
  }
  return { height, width, edges: Uint32Array.from(edges) };
}

/** Numbers of `mask_to_logits` of sam_jax.inference.mask_prompts, which rounds to 8 bits twice. */
function expectClose(found: Float32Array, rows: readonly (readonly number[])[]): void {
  expect(found.length).toBe(rows.flat().length);
  rows.flat().forEach((value, index) => expect(Math.abs(found[index] - value)).toBeLessThan(0.1));
}

test("the logits of a mask in a photo that shrinks are those of Python", () => {
  const mask = fromPixels(13, 30, (x, y) => (y >= 2 && y < 9 && x >= 4 && x < 21) || (y >= 5 && y < 8 && x >= 10));
  expectClose(maskToLogits(mask, { height: 16, width: 24 }), [
    [-7.63, 2.35, 2.35, 2.35, -6.87, -9.06],
    [-7.22, 4.49, 4.49, 4.49, 1.62, 0.94],
    [-10, -10, -10, -10, -10, -10],
    [-10, -10, -10, -10, -10, -10],
  ]);
});

test("the logits of a mask in a photo that grows are those of Python", () => {
  const mask = fromPixels(3, 5, (x, y) => y >= 1 && x >= 1 && x < 4);
  expectClose(maskToLogits(mask, { height: 16, width: 24 }), [
    [-9.91, -8.95, -8.57, -8.57, -8.95, -9.91],
    [-9.07, 1.16, 5.18, 5.18, 1.16, -9.07],
    [-8.76, 4.71, 10, 10, 4.71, -8.76],
    [-9.38, -2.65, 0, 0, -2.65, -9.38],
  ]);
});
