/** Zoom by wheel or pinch, and pan by the middle button, by the space bar, or by two fingers on a touch pad. */

import type { Stage } from "./stage";

const PER_WHEEL_STEP = 1.0015;

export class Navigation {
  isSpaceHeld = false;
  private from: readonly [number, number] | undefined;

  /** @param takesWheel Whether a turn of the wheel means something else just now. */
  constructor(
    private readonly stage: Stage,
    takesWheel: (event: WheelEvent) => boolean,
  ) {
    const { canvas } = stage;
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (takesWheel(event)) return;
        const isSideways = event.deltaMode === 0 && Math.abs(event.deltaX) > Math.abs(event.deltaY);
        if (isSideways || event.shiftKey) stage.view.pan(-event.deltaX, event.shiftKey ? -event.deltaY : -event.deltaY);
        else {
          const steps = event.deltaMode === 0 ? event.deltaY : 40 * event.deltaY;
          stage.view.zoom(PER_WHEEL_STEP ** -(event.ctrlKey ? 6 * steps : steps), stage.place(event));
        }
        stage.redraw();
      },
      { passive: false },
    );
  }

  /** Takes a press that begins to move the photo, and says whether it was one. */
  press(event: PointerEvent): boolean {
    if (event.button !== 1 && !(event.button === 0 && this.isSpaceHeld)) return false;
    this.from = [event.clientX, event.clientY];
    this.stage.canvas.setPointerCapture(event.pointerId);
    return true;
  }

  move(event: PointerEvent): boolean {
    if (!this.from) return false;
    this.stage.view.pan(event.clientX - this.from[0], event.clientY - this.from[1]);
    this.from = [event.clientX, event.clientY];
    this.stage.redraw();
    return true;
  }

  release(): boolean {
    const was = this.from !== undefined;
    this.from = undefined;
    return was;
  }
}
