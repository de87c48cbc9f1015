/** Clicks and a box, which can be taken back, as the decoder takes them. */

import type { Point } from "../shared/view";
import { fitSize, type Size } from "./framing";

const BACKGROUND = 0;
const FOREGROUND = 1;
const TOP_LEFT = 2;
const BOTTOM_RIGHT = 3;
/** Follows points that are given without a box. */
const NOT_A_POINT = -1;

export type Box = readonly [left: number, top: number, right: number, bottom: number];
export type Mark = { readonly point: Point; readonly isInside: boolean } | { readonly box: Box };

export class Prompt {
  private marks: readonly Mark[] = [];

  get isEmpty(): boolean {
    return this.marks.length === 0;
  }

  /** Whether several objects may be meant: by one click, of which nobody knows how much around it. */
  get isAmbiguous(): boolean {
    return this.marks.length === 1 && "point" in this.marks[0];
  }

  [Symbol.iterator](): Iterator<Mark> {
    return this.marks[Symbol.iterator]();
  }

  /** Adds a click or a box; there is one box at most. */
  add(mark: Mark): void {
    const others = "box" in mark ? this.marks.filter((other) => !("box" in other)) : this.marks;
    this.marks = [...others, mark];
  }

  undo(): void {
    this.marks = this.marks.slice(0, -1);
  }

  clear(): void {
    this.marks = [];
  }

  /** Points in the model's padded input, and their labels. */
  inFrame(photo: Size, frame: Size): { points: Point[]; labels: number[] } {
    const fitted = fitSize(photo, frame);
    const [across, down] = [fitted.width / photo.width, fitted.height / photo.height];
    const scale = ([x, y]: Point): Point => [x * across, y * down];
    const points: Point[] = [];
    const labels: number[] = [];
    let hasBox = false;
    for (const mark of this.marks) {
      if ("point" in mark) {
        points.push(scale(mark.point));
        labels.push(mark.isInside ? FOREGROUND : BACKGROUND);
      } else hasBox = true;
    }
    for (const mark of this.marks) {
      if (!("box" in mark)) continue;
      const [left, top, right, bottom] = mark.box;
      points.push(scale([left, top]), scale([right, bottom]));
      labels.push(TOP_LEFT, BOTTOM_RIGHT);
    }
    if (!hasBox) {
      points.push([0, 0]);
      labels.push(NOT_A_POINT);
    }
    return { points, labels };
  }
}
