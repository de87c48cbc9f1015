/** The photo under the mouse: clicks, boxes, strokes, the preview, and how masks and marks are drawn. */

import { colourOf, cssColour, type Rgb } from "../shared/colours";
import { Navigation } from "../shared/navigation";
import type { DrawnMask } from "../shared/overlay";
import type { Box, Click } from "../shared/prompts";
import { bounds, contains, decodeRle, strokeRuns, subtract, union, type Runs } from "../shared/runs";
import { Stage } from "../shared/stage";
import type { Point, View } from "../shared/view";
import type { Decoding } from "./decoding";
import type { Mask, Session } from "./session";
import { TiledPhoto } from "./tiles";

export type Tool = "point" | "brush" | "eraser";

export interface Look {
  isHidden: boolean;
  isOutline: boolean;
  hasColours: boolean;
  hasPreview: boolean;
}

const ONE_COLOUR: Rgb = [64, 156, 255];
const PREVIEW_COLOUR: Rgb = [255, 255, 255];
const DRAG_PIXELS = 5;
const PREVIEW_PIXELS = 3;
const PREVIEW_PAUSE_MS = 40;

export class Easel {
  readonly stage: Stage;
  readonly look: Look = { isHidden: false, isOutline: false, hasColours: true, hasPreview: true };
  readonly navigation: Navigation;
  private session: Session | undefined;
  private chosenTool: Tool = "point";
  private radius = 12;
  private mouse: Point | undefined;
  private pressed: { readonly place: Point; readonly at: Point; readonly button: number; readonly since: number } | undefined;
  private box: Box | undefined;
  private stroke: { runs: Runs; last: Point } | undefined;
  private preview: { readonly runs: Runs; readonly place: Point } | undefined;
  private isAsking = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly decoding: Decoding,
    private readonly onTool: () => void,
    private readonly onTrouble: (problem: string) => void,
  ) {
    this.stage = new Stage(canvas, () => this.drawnMasks(), (context, view) => this.drawMarks(context, view));
    this.navigation = new Navigation(this.stage, (event) => this.turnWheel(event));
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => {
      this.mouse = this.preview = undefined;
      this.stage.redraw();
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get tool(): Tool {
    return this.chosenTool;
  }

  set tool(tool: Tool) {
    this.chosenTool = tool;
    this.cancel();
    this.updateCursor();
    this.onTool();
  }

  show(session: Session | undefined): void {
    this.session = session;
    this.cancel();
    this.preview = undefined;
    const photo = session && new TiledPhoto(
      session.photo,
      () => this.stage.redraw(),
      () => this.onTrouble("A part of the photo could not be loaded"),
    );
    this.stage.show(photo);
  }

  /** Brings a mask into view. */
  focus(mask: Mask): void {
    const box = bounds(mask.runs);
    if (!box) return;
    const [left, top] = this.stage.view.toScreen([box.left, box.top]);
    const [right, bottom] = this.stage.view.toScreen([box.right, box.bottom]);
    const { width, height } = this.stage.view.size;
    const isSeen = left >= 0 && top >= 0 && right <= width && bottom <= height && Math.max(right - left, bottom - top) > 24;
    if (!isSeen) this.stage.view.showBox(box.left, box.top, box.right, box.bottom);
    this.stage.redraw();
  }

  resizeBrush(factor: number): void {
    this.radius = Math.min(2000, Math.max(0.5, this.radius * factor));
    this.stage.redraw();
  }

  /** Gives up what the mouse has begun; says whether it had begun something. */
  cancel(): boolean {
    const had = this.pressed !== undefined;
    this.pressed = this.box = this.stroke = undefined;
    this.stage.redraw();
    return had;
  }

  updateCursor(): void {
    this.canvas.dataset.cursor = this.navigation.isSpaceHeld ? "grab" : this.tool === "point" ? "cross" : "none";
  }

  private turnWheel(event: WheelEvent): boolean {
    if (this.tool === "point" || event.ctrlKey || event.shiftKey) return false;
    this.resizeBrush(1.0015 ** -(event.deltaMode === 0 ? event.deltaY : 40 * event.deltaY));
    return true;
  }

  private press(event: PointerEvent): void {
    this.canvas.focus();
    if (this.navigation.press(event) || !this.session || event.button === 1) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.stage.locate(event);
    this.pressed = { place: this.stage.place(event), at, button: event.button, since: event.timeStamp };
    if (this.tool !== "point") {
      this.stroke = { runs: this.session.strokeBase, last: at };
      this.extendStroke(at);
    }
  }

  private move(event: PointerEvent): void {
    if (this.navigation.move(event)) return;
    this.mouse = this.stage.locate(event);
    if (this.stroke) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) this.extendStroke(this.stage.locate(part));
    } else if (this.pressed && this.tool === "point" && this.pressed.button === 0) {
      const place = this.stage.place(event);
      const isDrag = Math.hypot(place[0] - this.pressed.place[0], place[1] - this.pressed.place[1]) > DRAG_PIXELS;
      if (isDrag || this.box) this.box = this.clip(this.pressed.at, this.mouse);
    }
    this.stage.redraw();
    void this.askPreview();
  }

  private release(event: PointerEvent): void {
    if (this.navigation.release()) return;
    const { pressed, box, stroke, session } = this;
    this.cancel();
    if (!pressed || !session) return;
    if (stroke) {
      session.stroke(stroke.runs);
      return;
    }
    if (box) {
      if (box[2] > box[0] && box[3] > box[1]) session.box(box, event.timeStamp);
      return;
    }
    if (!this.stage.view.isInPhoto(pressed.at)) return;
    if (event.shiftKey) {
      session.select(session.maskAt((mask) => contains(mask.runs, ...pressed.at))?.id);
      return;
    }
    this.preview = undefined;
    const isAway = pressed.button === 2 || event.altKey;
    session.click([...pressed.at, isAway ? 0 : 1], event.timeStamp);
  }

  private clip([x0, y0]: Point, [x1, y1]: Point): Box {
    const { width, height } = this.session!.photo;
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
    return [
      within(Math.min(x0, x1), width),
      within(Math.min(y0, y1), height),
      within(Math.max(x0, x1), width),
      within(Math.max(y0, y1), height),
    ];
  }

  private extendStroke(to: Point): void {
    const { height, width } = this.session!.photo;
    const radius = this.radius / this.stage.view.scale;
    const change = this.tool === "brush" && !(this.pressed?.button === 2) ? union : subtract;
    const { runs, last } = this.stroke!;
    this.stroke = { runs: change(runs, strokeRuns(height, width, last, to, radius)), last: to };
    this.stage.redraw();
  }

  /** Asks what a click here would give, while nothing else is going on. */
  private async askPreview(): Promise<void> {
    const { session, mouse } = this;
    const isIdle = session && mouse && this.tool === "point" && !this.pressed && !session.isBusy && !session.current;
    if (!isIdle || !this.look.hasPreview || this.look.isHidden || !this.stage.view.isInPhoto(mouse)) {
      this.preview = undefined;
      return;
    }
    const isNear = (place: Point) => Math.hypot(place[0] - mouse[0], place[1] - mouse[1]) * this.stage.view.scale < PREVIEW_PIXELS;
    if (this.isAsking || (this.preview && isNear(this.preview.place))) return;
    this.isAsking = true;
    try {
      const click: Click = [...mouse, 1];
      const { mask } = await this.decoding.predict(session.photo, { base: null, box: null, clicks: [click], choice: null }, true);
      if (this.session === session && !session.current && !session.isBusy && this.mouse) {
        this.preview = { runs: decodeRle(mask.rle), place: mouse };
        this.stage.redraw();
      }
    } catch {
      this.preview = undefined; // a click says what is wrong
    }
    await new Promise((resolve) => setTimeout(resolve, PREVIEW_PAUSE_MS));
    this.isAsking = false;
    if (this.mouse && this.mouse !== mouse) void this.askPreview();
  }

  private colourFor(mask: Mask): Rgb {
    return this.look.hasColours ? colourOf(mask.number) : ONE_COLOUR;
  }

  private *drawnMasks(): Iterable<DrawnMask> {
    const { session, look } = this;
    if (!session || look.isHidden) return;
    const current = session.current;
    const thin = Math.max(1, Math.round(devicePixelRatio));
    for (const mask of session.shown) {
      if (mask.id === current?.id) continue;
      const isDashed = mask.state === "prefilled";
      const fill = look.isOutline ? 0 : isDashed ? 0.14 : current ? 0.22 : 0.38;
      yield { runs: mask.runs, colour: this.colourFor(mask), fill, outline: isDashed ? 2 * thin : thin, isDashed };
    }
    if (this.preview && !current) yield { runs: this.preview.runs, colour: PREVIEW_COLOUR, fill: 0.28, outline: thin };
    const runs = this.stroke?.runs ?? current?.runs;
    if (runs) {
      const colour = current ? this.colourFor(current) : ONE_COLOUR;
      const isDashed = !this.stroke && current?.state === "prefilled";
      yield { runs, colour, fill: look.isOutline ? 0 : 0.5, outline: 2 * thin, isDashed };
    }
  }

  private drawMarks(context: CanvasRenderingContext2D, view: View): void {
    const { session } = this;
    if (!session) return;
    const prompt = session.current?.prompt;
    const box = this.box ?? prompt?.box;
    if (box && !this.look.isHidden) {
      const [x0, y0] = view.toScreen([box[0], box[1]]);
      const [x1, y1] = view.toScreen([box[2], box[3]]);
      for (const [colour, width, dash] of [["rgb(0 0 0 / 0.6)", 3, []], ["#fff", 1.5, [6, 4]]] as const) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.setLineDash([...dash]);
        context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      }
      context.setLineDash([]);
    }
    const clicks = [...(prompt?.clicks ?? []).map((click) => [click, false] as const), ...session.pending.map((click) => [click, true] as const)];
    for (const [[x, y, label], isPending] of this.look.isHidden ? [] : clicks) {
      const [left, top] = view.toScreen([x, y]);
      context.beginPath();
      context.arc(left, top, 5.5, 0, 2 * Math.PI);
      context.fillStyle = label ? "#2fb344" : "#e03131";
      context.globalAlpha = isPending ? 0.55 : 1;
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#fff";
      context.stroke();
      context.beginPath();
      context.moveTo(left - 2.5, top);
      context.lineTo(left + 2.5, top);
      if (label) {
        context.moveTo(left, top - 2.5);
        context.lineTo(left, top + 2.5);
      }
      context.stroke();
      context.globalAlpha = 1;
    }
    if (this.mouse && this.tool !== "point" && !this.navigation.isSpaceHeld) {
      const [x, y] = view.toScreen(this.mouse);
      for (const [colour, width] of [["rgb(0 0 0 / 0.6)", 3], [this.tool === "brush" ? "#fff" : "#ff8787", 1.5]] as const) {
        context.beginPath();
        context.arc(x, y, this.radius, 0, 2 * Math.PI);
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.stroke();
      }
    }
  }
}

export function swatch(mask: Mask, hasColours: boolean): string {
  return cssColour(hasColours ? colourOf(mask.number) : ONE_COLOUR);
}
