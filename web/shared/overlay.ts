/** Masks drawn at the screen's resolution: filled, outlined, or both, one over the other. */

import type { Rgb } from "./colours";
import { bounds, firstEdgeAfter, type Runs } from "./runs";
import type { View } from "./view";

export interface DrawnMask {
  readonly runs: Runs;
  readonly colour: Rgb;
  /** From 0, nothing, to 1, opaque. */
  readonly fill: number;
  /** Width of the outline in pixels of the screen; 0 for none. */
  readonly outline: number;
  /** Whether the outline has gaps. */
  readonly isDashed?: boolean;
}

/** Length of a dash and of a gap, as multiples of the outline's width. */
const DASH = 4;

export class Overlay {
  private readonly canvas = new OffscreenCanvas(1, 1);
  private readonly context = this.canvas.getContext("2d", { willReadFrequently: true })!;
  private pixels = new ImageData(1, 1);
  private inside = new Uint8Array(1);

  /**
   * Draws masks over what a canvas shows.
   *
   * @param context Canvas whose pixels are the screen's.
   * @param view View in the canvas' own pixels of the photo.
   * @param photo Size of the photo; masks of another size are taken for scaled-down ones of it.
   */
  draw(
    context: CanvasRenderingContext2D,
    view: Pick<View, "scale" | "left" | "top">,
    photo: { readonly width: number; readonly height: number },
    masks: Iterable<DrawnMask>,
  ): void {
    const { width, height } = context.canvas;
    if (this.pixels.width !== width || this.pixels.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.pixels = new ImageData(width, height);
      this.inside = new Uint8Array(width * height);
    }
    this.pixels.data.fill(0);
    for (const mask of masks) this.drawOne(view, photo, mask);
    this.context.putImageData(this.pixels, 0, 0);
    context.drawImage(this.canvas, 0, 0);
  }

  private drawOne(
    view: Pick<View, "scale" | "left" | "top">,
    photo: { readonly width: number; readonly height: number },
    mask: DrawnMask,
  ): void {
    const box = bounds(mask.runs);
    if (!box) return;
    const { width, height } = this.pixels;
    // Screen pixels for each cell of the mask.
    const across = (view.scale * photo.width) / mask.runs.width;
    const down = (view.scale * photo.height) / mask.runs.height;
    const left = Math.max(0, Math.floor(view.left + box.left * across));
    const right = Math.min(width, Math.ceil(view.left + box.right * across));
    const top = Math.max(0, Math.floor(view.top + box.top * down));
    const bottom = Math.min(height, Math.ceil(view.top + box.bottom * down));
    if (left >= right || top >= bottom) return;
    const { edges, height: rows, width: columns } = mask.runs;
    const stride = bottom - top;
    const inside = this.inside.subarray(0, stride * (right - left));
    inside.fill(0);
    for (let x = left; x < right; x++) {
      const column = Math.floor((x + 0.5 - view.left) / across);
      if (column < 0 || column >= columns) continue;
      const start = column * rows;
      let edge = firstEdgeAfter(edges, start);
      edge -= edge % 2;
      for (; edge < edges.length && edges[edge] < start + rows; edge += 2) {
        const first = Math.max(0, edges[edge] - start);
        const last = Math.min(rows, edges[edge + 1] - start);
        const from = Math.max(top, Math.ceil(view.top + first * down - 0.5));
        const to = Math.min(bottom, Math.ceil(view.top + last * down - 0.5));
        if (from < to) inside.fill(1, (x - left) * stride + from - top, (x - left) * stride + to - top);
      }
    }
    this.blend(inside, left, top, right - left, stride, mask);
  }

  private blend(inside: Uint8Array, left: number, top: number, across: number, stride: number, mask: DrawnMask): void {
    const { data, width } = this.pixels;
    const [red, green, blue] = mask.colour;
    const reach = mask.outline;
    for (let column = 0; column < across; column++) {
      for (let row = 0; row < stride; row++) {
        const at = column * stride + row;
        if (!inside[at]) continue;
        let isEdge = false;
        for (let step = 1; step <= reach && !isEdge; step++) {
          isEdge =
            (row >= step && !inside[at - step]) ||
            (row + step < stride && !inside[at + step]) ||
            (column >= step && !inside[at - step * stride]) ||
            (column + step < across && !inside[at + step * stride]) ||
            // The box of a mask ends at its outermost pixels, or at the border of the screen.
            (row - step < 0 && top > 0) ||
            (row + step >= stride && top + stride < this.pixels.height) ||
            (column - step < 0 && left > 0) ||
            (column + step >= across && left + across < width);
        }
        // Stripes across the screen cut an outline of any direction but their own into dashes.
        const isGap = mask.isDashed && Math.floor((left + column + top + row) / (DASH * mask.outline)) % 2 === 1;
        const opacity = isEdge && !isGap ? 1 : mask.fill;
        if (opacity === 0) continue;
        const place = 4 * ((top + row) * width + left + column);
        const below = (data[place + 3] / 255) * (1 - opacity);
        const total = opacity + below;
        data[place] = (red * opacity + data[place] * below) / total;
        data[place + 1] = (green * opacity + data[place + 1] * below) / total;
        data[place + 2] = (blue * opacity + data[place + 2] * below) / total;
        data[place + 3] = 255 * total;
      }
    }
  }
}
