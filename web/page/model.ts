/** The models in their worker, as functions that can be waited for. */

import type { Size } from "./framing";
import type { About, Answer, Masks, Request } from "./messages";

export class Model {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "worker" });
  private readonly waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  private count = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const waiting = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error === undefined) waiting?.resolve(data);
      else waiting?.reject(new Error(data.error));
    };
    this.worker.onerror = (event) => {
      const error = new Error(event.message || "the program that runs the model cannot be loaded");
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  async open(base: string, about: About): Promise<void> {
    await this.ask({ kind: "open", base, about });
  }

  /** Encodes a photo, and says how many milliseconds that took. */
  async encode(colours: Float32Array, size: Size): Promise<number> {
    return (await this.ask({ kind: "encode", colours, size }, [colours.buffer])).milliseconds!;
  }

  async useEmbedding(data: Float32Array, shape: readonly number[]): Promise<void> {
    await this.ask({ kind: "embedding", data, shape }, [data.buffer]);
  }

  async decode(points: readonly (readonly [number, number])[], labels: readonly number[]): Promise<Masks> {
    const answer = await this.ask({
      kind: "decode",
      points: Float32Array.from(points.flat()),
      labels: Float32Array.from(labels),
    });
    return answer.masks!;
  }

  private ask(request: Request, moved: Transferable[] = []): Promise<Answer> {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, request }, moved);
    });
  }
}
