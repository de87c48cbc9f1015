/** Which part of a photo is seen, and how large: zoom and pan, without anything that draws. */

export type Point = readonly [x: number, y: number];

const LARGEST_SCALE = 32;
const MARGIN = 24;

export class View {
  /** Screen pixels for each pixel of the photo. */
  scale = 1;
  /** Place of the photo's upper left corner on the screen. */
  left = 0;
  top = 0;

  private photo = { width: 1, height: 1 };
  private screen = { width: 1, height: 1 };
  private isFitted = true;

  /** Begins with a photo, all of it seen. */
  show(width: number, height: number): void {
    this.photo = { width, height };
    this.fit();
  }

  /** Takes another size of the screen; a photo that was seen as a whole still is. */
  resize(width: number, height: number): void {
    const [dx, dy] = [(width - this.screen.width) / 2, (height - this.screen.height) / 2];
    this.screen = { width, height };
    if (this.isFitted) this.fit();
    else this.pan(dx, dy);
  }

  fit(): void {
    const { photo, screen } = this;
    const room = (side: number) => Math.max(1, side - 2 * MARGIN);
    this.scale = Math.min(room(screen.width) / photo.width, room(screen.height) / photo.height, LARGEST_SCALE);
    this.left = (screen.width - photo.width * this.scale) / 2;
    this.top = (screen.height - photo.height * this.scale) / 2;
    this.isFitted = true;
  }

  pan(dx: number, dy: number): void {
    this.left += dx;
    this.top += dy;
    this.isFitted = false;
    this.keepInSight();
  }

  /** Zooms about a place on the screen, which keeps its place in the photo. */
  zoom(factor: number, [x, y]: Point): void {
    const { photo, screen } = this;
    const smallest = Math.min(1, (0.5 * Math.min(screen.width / photo.width, screen.height / photo.height)));
    const scale = Math.min(LARGEST_SCALE, Math.max(smallest, this.scale * factor));
    const actual = scale / this.scale;
    this.left = x - (x - this.left) * actual;
    this.top = y - (y - this.top) * actual;
    this.scale = scale;
    this.isFitted = false;
    this.keepInSight();
  }

  /** Brings a box of the photo into the middle of the screen, as large as it fits. */
  showBox(left: number, top: number, right: number, bottom: number): void {
    const { screen } = this;
    const room = 0.6;
    this.scale = Math.min(
      LARGEST_SCALE / 2,
      (room * screen.width) / Math.max(1, right - left),
      (room * screen.height) / Math.max(1, bottom - top),
    );
    this.left = screen.width / 2 - ((left + right) / 2) * this.scale;
    this.top = screen.height / 2 - ((top + bottom) / 2) * this.scale;
    this.isFitted = false;
  }

  toPhoto([x, y]: Point): Point {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toScreen([x, y]: Point): Point {
    return [this.left + x * this.scale, this.top + y * this.scale];
  }

  isInPhoto([x, y]: Point): boolean {
    return x >= 0 && y >= 0 && x < this.photo.width && y < this.photo.height;
  }

  get size(): { readonly width: number; readonly height: number } {
    return this.screen;
  }

  /** A photo that is moved far out of the screen is hard to find again: a part of it stays. */
  private keepInSight(): void {
    const within = (place: number, length: number, screen: number) => {
      const part = Math.min(80, length, screen);
      return Math.min(screen - part, Math.max(part - length, place));
    };
    this.left = within(this.left, this.photo.width * this.scale, this.screen.width);
    this.top = within(this.top, this.photo.height * this.scale, this.screen.height);
  }
}
