/** Clicks and a box, which can be taken back. */

import type { Size } from "../shared/framing";
import { placePrompt, type Box, type Click, type Placed } from "../shared/prompts";
import type { Point } from "../shared/view";

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
  inFrame(photo: Size, frame: Size): Placed {
    const clicks: Click[] = [];
    let box: Box | null = null;
    for (const mark of this.marks) {
      if ("point" in mark) clicks.push([...mark.point, mark.isInside ? 1 : 0]);
      else box = mark.box;
    }
    return placePrompt(clicks, box, photo, frame);
  }
}
