/** The canvas on which a photo, its masks and what is being pointed at lie, drawn once for each frame that needs it. */

import { Overlay, type DrawnMask } from "./overlay";
import { View, type Point } from "./view";

export interface Photo {
  readonly width: number;
  readonly height: number;
  /** Draws what of the photo is at hand; the context's unit is a pixel of the photo. */
  draw(context: CanvasRenderingContext2D, view: View): void;
}

/** A photo that is one picture in memory. */
export class BitmapPhoto implements Photo {
  constructor(private readonly bitmap: ImageBitmap) {}

  get width(): number {
    return this.bitmap.width;
  }

  get height(): number {
    return this.bitmap.height;
  }

  draw(context: CanvasRenderingContext2D): void {
    context.drawImage(this.bitmap, 0, 0);
  }
}

export class Stage {
  readonly view = new View();
  private readonly context: CanvasRenderingContext2D;
  private readonly overlay = new Overlay();
  private isWaiting = false;
  private photo: Photo | undefined;

  /**
   * @param canvas Canvas that fills its parent.
   * @param masks Masks to draw, asked for at each frame, the lowest first.
   * @param drawMarks Draws points, boxes and brushes over the masks, in pixels of the page.
   */
  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly masks: () => Iterable<DrawnMask>,
    private readonly drawMarks: (context: CanvasRenderingContext2D, view: View) => void,
  ) {
    this.context = canvas.getContext("2d", { alpha: false })!;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement!);
    this.resize();
  }

  show(photo: Photo | undefined): void {
    const isSame = photo && this.photo && photo.width === this.photo.width && photo.height === this.photo.height;
    this.photo = photo;
    if (photo && !isSame) this.view.show(photo.width, photo.height);
    else if (photo) this.view.fit();
    this.redraw();
  }

  redraw(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    requestAnimationFrame(() => {
      this.isWaiting = false;
      this.draw();
    });
  }

  /** Where in the photo a mouse or a finger points. */
  locate(event: MouseEvent): Point {
    return this.view.toPhoto(this.place(event));
  }

  /** Where on the canvas a mouse or a finger points, in pixels of the page. */
  place(event: MouseEvent): Point {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas.parentElement!;
    this.canvas.width = Math.max(1, Math.round(clientWidth * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * devicePixelRatio));
    this.canvas.style.width = `${clientWidth}px`;
    this.canvas.style.height = `${clientHeight}px`;
    this.view.resize(Math.max(1, clientWidth), Math.max(1, clientHeight));
    this.draw();
  }

  private draw(): void {
    const { context, view, photo } = this;
    const ratio = devicePixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = getComputedStyle(this.canvas).backgroundColor;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (!photo) return;
    const scale = ratio * view.scale;
    context.setTransform(scale, 0, 0, scale, ratio * view.left, ratio * view.top);
    context.imageSmoothingEnabled = view.scale < 3;
    context.imageSmoothingQuality = "high";
    photo.draw(context, view);
    context.setTransform(1, 0, 0, 1, 0, 0);
    const onScreen = { scale, left: ratio * view.left, top: ratio * view.top };
    this.overlay.draw(context, onScreen, photo, this.masks());
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawMarks(context, view);
  }
}
