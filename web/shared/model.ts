/** The models in their worker, as functions that can be waited for. */

import type { Size } from "./framing";
import type { Answer, Masks, Request, Sources } from "./messages";
import type { Placed } from "./prompts";

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
      this.refuse(event.message || "the program that runs the model cannot be loaded");
    };
  }

  async open(sources: Sources): Promise<void> {
    await this.ask({ kind: "open", sources });
  }

  /** Ends the worker; nothing may be asked any more, and what is still being asked is refused. */
  close(): void {
    this.worker.terminate();
    this.refuse("the model is closed");
  }

  /** Encodes a photo, and says how many milliseconds that took. */
  async encode(colours: Float32Array, size: Size): Promise<number> {
    return (await this.ask({ kind: "encode", colours, size }, [colours.buffer])).milliseconds!;
  }

  async useEmbedding(data: Float32Array, shape: readonly number[]): Promise<void> {
    await this.ask({ kind: "embedding", data, shape }, [data.buffer]);
  }

  /** The masks of a prompt, which may go on from the logits of an earlier answer. */
  async decode({ points, labels }: Placed, previous?: Float32Array): Promise<Masks> {
    const answer = await this.ask({
      kind: "decode",
      points: Float32Array.from(points.flat()),
      labels: Float32Array.from(labels),
      previous,
    });
    return answer.masks!;
  }

  private refuse(problem: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(problem));
    this.waiting.clear();
  }

  private ask(request: Request, moved: Transferable[] = []): Promise<Answer> {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, request }, moved);
    });
  }
}
