/** What a page and the worker that runs the models say to each other. */

import type { Size } from "./framing";

/** Where a worker finds what it runs. */
export interface Sources {
  /** Address of the folder with the program of onnxruntime. */
  readonly runtime: string;
  readonly decoder: string;
  /** Absent where all photos come with their embeddings. */
  readonly encoder?: string;
  /** How the browser may keep the models. */
  readonly cache: RequestCache;
  /** The model's padded input. */
  readonly frame: Size;
}

export type Request =
  | { readonly kind: "open"; readonly sources: Sources }
  | { readonly kind: "encode"; readonly colours: Float32Array; readonly size: Size }
  | { readonly kind: "embedding"; readonly data: Float32Array; readonly shape: readonly number[] }
  | {
      readonly kind: "decode";
      readonly points: Float32Array;
      readonly labels: Float32Array;
      /** Low-resolution logits of an earlier answer. */
      readonly previous?: Float32Array;
    };

export interface Masks {
  /** Logits of four masks, one after the other: the one for all prompts together, and the three for an ambiguous one. */
  readonly logits: Float32Array;
  readonly low: Size;
  readonly iou: Float32Array;
  readonly milliseconds: number;
}

/** The logits of one of the four masks. */
export function logitsOf({ logits, low }: Masks, index: number): Float32Array {
  const count = low.height * low.width;
  return logits.subarray(index * count, (index + 1) * count);
}

export interface Answer {
  readonly id: number;
  readonly error?: string;
  readonly masks?: Masks;
  readonly milliseconds?: number;
}
