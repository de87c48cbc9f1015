/** The file model.json beside the page. */

export const MANIFEST = "model.json";

export interface About {
  /** Height and width of the model's padded input. */
  readonly image_size: readonly [number, number];
  readonly decoder: string;
  /** Absent where only photos with ready embeddings can be opened. */
  readonly encoder?: string;
  readonly photos: readonly ReadyPhoto[];
}

/** A photo whose embedding was computed before. */
export interface ReadyPhoto {
  readonly name: string;
  readonly file: string;
  readonly embedding: string;
  readonly shape: readonly number[];
}
