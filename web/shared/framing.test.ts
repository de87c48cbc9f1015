import { expect, test } from "vitest";
import { fitSize, threshold } from "./framing";
import { contains } from "./runs";

test("a photo fits into the frame by the official rounding", () => {
  expect(fitSize({ height: 1365, width: 2048 }, { height: 1024, width: 1024 })).toEqual({ height: 683, width: 1024 });
  expect(fitSize({ height: 3, width: 900 }, { height: 512, width: 512 })).toEqual({ height: 2, width: 512 });
  expect(fitSize({ height: 1, width: 9000 }, { height: 512, width: 512 })).toEqual({ height: 1, width: 512 });
});

test("logits that are a step across the photo become half of its pixels", () => {
  const low = { height: 8, width: 8 };
  const frame = { height: 32, width: 32 };
  const photo = { height: 40, width: 80 };
  // The photo fills the upper half of the frame; its left half is inside.
  const logits = Float32Array.from({ length: 64 }, (_, index) => (index % 8 < 4 ? 1 : -1));
  // Its runs go on from column to column.
  expect(threshold(logits, low, frame, photo)).toEqual({ ...photo, edges: Uint32Array.of(0, 40 * 40) });
  expect(threshold(logits, low, frame, photo, { height: 4, width: 8 }).edges).toEqual(Uint32Array.of(0, 4 * 4));
});

test("a slope is cut where it passes 0, between the centres of pixels", () => {
  const size = { height: 4, width: 4 };
  const logits = Float32Array.from({ length: 16 }, (_, index) => Math.floor(index / 4) - 1.2);
  const mask = threshold(logits, size, { height: 16, width: 16 }, { height: 16, width: 16 });
  const rows = Array.from({ length: 16 }, (_, y) => contains(mask, 0, y));
  // Row y of the result has its centre at (y + 0.5) / 4 - 0.5 of the logits' rows.
  expect(rows).toEqual(Array.from({ length: 16 }, (_, y) => ((y + 0.5) / 4 - 0.5 > 1.2)));
});
