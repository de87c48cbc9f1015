/** What the page and the worker that runs the models say to each other. */

import type { Size } from "./framing";

/** The file model.json beside the page. */
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

export type Request =
  | { readonly kind: "open"; readonly base: string; readonly about: About }
  | { readonly kind: "encode"; readonly colours: Float32Array; readonly size: Size }
  | { readonly kind: "embedding"; readonly data: Float32Array; readonly shape: readonly number[] }
  | { readonly kind: "decode"; readonly points: Float32Array; readonly labels: Float32Array };

export interface Masks {
  /** Logits of four masks, one after the other. */
  readonly logits: Float32Array;
  readonly low: Size;
  readonly iou: Float32Array;
  readonly milliseconds: number;
}

export interface Answer {
  readonly id: number;
  readonly error?: string;
  readonly masks?: Masks;
  readonly milliseconds?: number;
}
