/** Pixels of photos and masks. */

import type { Runs } from "../shared/runs";

/** A mask as a PNG, white before black. */
export async function toPng({ height, width, edges }: Runs): Promise<Blob> {
  const pixels = new ImageData(width, height);
  for (let index = 3; index < pixels.data.length; index += 4) pixels.data[index] = 255;
  for (let k = 0; k < edges.length; k += 2) {
    for (let place = edges[k]; place < edges[k + 1]; place++) {
      const pixel = (place % height) * width + Math.floor(place / height);
      pixels.data.fill(255, 4 * pixel, 4 * pixel + 3);
    }
  }
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
