/** Masks as bytes, row by row, turned into what is drawn and saved. */

import type { Runs } from "../shared/runs";
import type { Size } from "./framing";

/** The edges of a mask, column by column. */
export function toRuns(mask: Uint8Array, { height, width }: Size): Runs {
  const edges: number[] = [];
  for (let x = 0; x < width; x++) {
    let isInside = 0;
    for (let y = 0; y < height; y++) {
      const value = mask[y * width + x];
      if (value === isInside) continue;
      edges.push(x * height + y);
      isInside = value;
    }
    if (isInside) edges.push((x + 1) * height);
  }
  return { height, width, edges: Uint32Array.from(edges) };
}

/** A mask as a PNG, white before black. */
export async function toPng(mask: Uint8Array, { height, width }: Size): Promise<Blob> {
  const pixels = new ImageData(width, height);
  mask.forEach((value, index) => pixels.data.fill(255 * value, 4 * index, 4 * index + 3));
  for (let index = 3; index < pixels.data.length; index += 4) pixels.data[index] = 255;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** The colours of a photo as numbers from 0 to 255, red, green and blue of each pixel, row by row. */
export function readColours(photo: ImageBitmap): Float32Array {
  const canvas = new OffscreenCanvas(photo.width, photo.height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(photo, 0, 0);
  const { data } = context.getImageData(0, 0, photo.width, photo.height);
  const colours = new Float32Array(3 * photo.width * photo.height);
  for (let pixel = 0; pixel < photo.width * photo.height; pixel++) {
    for (let channel = 0; channel < 3; channel++) colours[3 * pixel + channel] = data[4 * pixel + channel];
  }
  return colours;
}
