/** Clicks and a box as the decoder takes them. */

import { fitSize, type Size } from "./framing";

/** A place in the photo, and 1 for the object or 0 for what is beside it. */
export type Click = readonly [x: number, y: number, label: 0 | 1];
export type Box = readonly [left: number, top: number, right: number, bottom: number];

export interface Placed {
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly labels: readonly number[];
}

const TOP_LEFT = 2;
const BOTTOM_RIGHT = 3;
/** Follows points that are given without a box. */
const NOT_A_POINT = -1;

/** Points in the model's padded input, and their labels. */
export function placePrompt(clicks: readonly Click[], box: Box | null, photo: Size, frame: Size): Placed {
  const fitted = fitSize(photo, frame);
  const [across, down] = [fitted.width / photo.width, fitted.height / photo.height];
  const place = (x: number, y: number) => [x * across, y * down] as const;
  const points = clicks.map(([x, y]) => place(x, y));
  const labels: number[] = clicks.map(([, , label]) => label);
  if (box) {
    points.push(place(box[0], box[1]), place(box[2], box[3]));
    labels.push(TOP_LEFT, BOTTOM_RIGHT);
  } else {
    points.push([0, 0]);
    labels.push(NOT_A_POINT);
  }
  return { points, labels };
}
