import { expect, test } from "vitest";
import { View } from "./view";

function viewOf(width: number, height: number): View {
  const view = new View();
  view.resize(800, 500);
  view.show(width, height);
  return view;
}

test("a photo is fitted into the middle of the screen", () => {
  const view = viewOf(3000, 1000);
  const [left, top] = view.toScreen([0, 0]);
  const [right, bottom] = view.toScreen([3000, 1000]);
  expect(left).toBeCloseTo(24);
  expect(right).toBeCloseTo(776);
  expect(top + bottom).toBeCloseTo(500);
});

test("zooming keeps the place under the mouse", () => {
  const view = viewOf(300, 200);
  const place = view.toPhoto([500, 300]);
  view.zoom(3, [500, 300]);
  view.toPhoto([500, 300]).forEach((coordinate, axis) => expect(coordinate).toBeCloseTo(place[axis]));
});

test("a part of the photo always stays in sight", () => {
  const view = viewOf(300, 200);
  view.pan(-1e6, 1e6);
  const [right] = view.toScreen([300, 0]);
  const [, top] = view.toScreen([0, 0]);
  expect(right).toBeCloseTo(80);
  expect(top).toBeCloseTo(420);
});

test("a resized screen shows a fitted photo as a whole again", () => {
  const view = viewOf(300, 200);
  view.resize(200, 900);
  expect(view.toScreen([0, 0])[0]).toBeCloseTo(24);
  expect(view.toScreen([300, 0])[0]).toBeCloseTo(176);
});
