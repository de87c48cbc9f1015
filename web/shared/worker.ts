/** Runs the models, away from the page, so that it answers while an image is encoded. */

import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";
import type { Answer, Masks, Request } from "./messages";

const MOST_THREADS = 4;

let encoder: InferenceSession | undefined;
let decoder: InferenceSession | undefined;
let embedding: Tensor | undefined;
let low = { height: 0, width: 0 };
/** No mask prompt, in the size that the decoder wants. */
let noMask: Tensor | undefined;

async function open({ sources }: Request & { kind: "open" }): Promise<void> {
  env.wasm.wasmPaths = sources.runtime;
  // Without isolation from other sites, browsers give no memory that threads could share.
  env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  low = { height: sources.frame.height / 4, width: sources.frame.width / 4 };
  noMask = new Tensor("float32", new Float32Array(low.height * low.width), [1, 1, low.height, low.width]);
  decoder = await load(sources.decoder, sources.cache);
  if (sources.encoder) encoder = await load(sources.encoder, sources.cache);
}

async function load(url: string, cache: RequestCache): Promise<InferenceSession> {
  const answer = await fetch(url, { cache });
  if (!answer.ok) throw new Error(`${new URL(url).pathname} cannot be loaded: ${answer.status} ${answer.statusText}`);
  return InferenceSession.create(await answer.arrayBuffer(), { executionProviders: ["wasm"] });
}

async function encode({ colours, size }: Request & { kind: "encode" }): Promise<void> {
  if (!encoder) throw new Error("this page has no encoder: choose one of its photos");
  embedding = undefined;
  const photo = new Tensor("float32", colours, [size.height, size.width, 3]);
  embedding = (await encoder.run({ input_image: photo })).image_embeddings as Tensor;
}

async function decode({ points, labels, previous }: Request & { kind: "decode" }): Promise<Masks> {
  if (!decoder || !embedding || !noMask) throw new Error("there is no photo yet");
  const start = performance.now();
  const { low_res_masks, iou_predictions } = await decoder.run({
    image_embeddings: embedding,
    point_coords: new Tensor("float32", points, [1, labels.length, 2]),
    point_labels: new Tensor("float32", labels, [1, labels.length]),
    mask_input: previous ? new Tensor("float32", previous, noMask.dims) : noMask,
    has_mask_input: new Tensor("float32", Float32Array.of(previous ? 1 : 0), [1]),
  });
  const milliseconds = performance.now() - start;
  const [logits, iou] = [low_res_masks.data as Float32Array, iou_predictions.data as Float32Array];
  return { logits, low, iou, milliseconds };
}

async function answer(request: Request): Promise<Partial<Answer>> {
  const start = performance.now();
  if (request.kind === "decode") return { masks: await decode(request) };
  if (request.kind === "open") await open(request);
  else if (request.kind === "encode") await encode(request);
  else embedding = new Tensor("float32", request.data, [...request.shape]);
  return { milliseconds: performance.now() - start };
}

self.onmessage = async ({ data: { id, request } }: MessageEvent<{ id: number; request: Request }>) => {
  try {
    self.postMessage({ id, ...(await answer(request)) });
  } catch (error) {
    self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
