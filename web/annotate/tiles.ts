/** A photo of any size, as the tiles of it that are seen. */

import type { Photo } from "../shared/stage";
import type { View } from "../shared/view";
import type { PhotoInfo } from "./server";

const SIDE = 512;
const MOST_TILES = 400;

export class TiledPhoto implements Photo {
  readonly height: number;
  readonly width: number;
  private readonly tiles = new Map<string, HTMLImageElement>();

  constructor(
    private readonly info: PhotoInfo,
    private readonly onTile: () => void,
    private readonly onTrouble: () => void,
  ) {
    this.height = info.height;
    this.width = info.width;
  }

  draw(context: CanvasRenderingContext2D, view: View): void {
    const wanted = Math.floor(Math.log2(1 / Math.min(1, view.scale * devicePixelRatio)));
    const level = Math.min(this.info.levels - 1, Math.max(0, wanted));
    context.save();
    context.beginPath();
    context.rect(0, 0, this.width, this.height);
    context.clip();
    // Coarser tiles first: they are seen until the finer ones have come.
    for (let coarser = this.info.levels - 1; coarser >= level; coarser--) {
      this.drawLevel(context, view, coarser, coarser === level || coarser === this.info.levels - 1);
    }
    context.restore();
  }

  private drawLevel(context: CanvasRenderingContext2D, view: View, level: number, isWanted: boolean): void {
    const side = SIDE * 2 ** level;
    const [left, top] = view.toPhoto([0, 0]);
    const [right, bottom] = view.toPhoto([view.size.width, view.size.height]);
    const seam = 0.6 / view.scale;
    const columns = [Math.max(0, Math.floor(left / side)), Math.min(Math.ceil(this.width / side), Math.ceil(right / side))];
    const rows = [Math.max(0, Math.floor(top / side)), Math.min(Math.ceil(this.height / side), Math.ceil(bottom / side))];
    for (let column = columns[0]; column < columns[1]; column++) {
      for (let row = rows[0]; row < rows[1]; row++) {
        const tile = this.find(level, column, row, isWanted);
        if (!tile) continue;
        const scale = 2 ** level;
        context.drawImage(tile, column * side, row * side, tile.naturalWidth * scale + seam, tile.naturalHeight * scale + seam);
      }
    }
  }

  private find(level: number, column: number, row: number, isWanted: boolean): HTMLImageElement | undefined {
    const key = `${level}/${column}/${row}`;
    let tile = this.tiles.get(key);
    if (tile) {
      this.tiles.delete(key);
    } else if (isWanted) {
      tile = new Image();
      tile.onload = () => this.onTile();
      tile.onerror = () => {
        this.tiles.delete(key);
        this.onTrouble();
      };
      tile.src = `/api/photos/${this.info.id}/tiles/${key}?version=${this.info.version}`;
    } else return undefined;
    this.tiles.set(key, tile);
    if (this.tiles.size > MOST_TILES) this.tiles.delete(this.tiles.keys().next().value!);
    return tile.complete && tile.naturalWidth ? tile : undefined;
  }
}
