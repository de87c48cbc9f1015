/** Where prompts are answered: by the server, or in this browser where the server offers it and the user asks. */

import { threshold, type Size } from "../shared/framing";
import { Model } from "../shared/model";
import { encodeRle } from "../shared/runs";
import { Answers, choose } from "./answers";
import { get, getBytes, post, Refusal, untilAnswered, type PhotoInfo, type Prediction, type Prompt } from "./server";

/** What the server tells of the decoder; the problem alone where there is none. */
interface About {
  readonly problem: string | null;
  readonly model: number;
  readonly digest: string;
  readonly runtime: string;
  readonly image_size: readonly [number, number];
  /** Shape of a photo's embedding. */
  readonly embedding: readonly number[];
}

/** A decoder in its worker. */
interface Ready {
  readonly about: About;
  readonly model: Model;
  readonly frame: Size;
}

/** A photo whose embedding the worker has. */
interface Opened extends Ready {
  readonly photo: PhotoInfo;
  readonly answers: Answers;
}

export type State = "server" | "preparing" | "browser";

const WANTED = "annotate.decodes";
const PREVIEW_SIDE = 512;
const CONFLICT = 409;

export class Decoding {
  private isOn = localStorage.getItem(WANTED) !== null;
  private photo: PhotoInfo | undefined;
  private ready: Ready | undefined;
  private opened: Opened | undefined;
  private work: Promise<void> = Promise.resolve();
  /** Number of times that a decoder was given up; what was begun before is not wanted any more. */
  private turn = 0;

  constructor(
    private readonly onChange: () => void,
    private readonly onTrouble: (problem: string | null) => void,
    private readonly onProblem: (problem: string) => void,
  ) {}

  get state(): State {
    return this.opened ? "browser" : this.isOn ? "preparing" : "server";
  }

  /** Changes to the other place, and remembers that. */
  toggle(): void {
    if (this.isOn) {
      localStorage.removeItem(WANTED);
      this.stop();
    } else {
      localStorage.setItem(WANTED, "yes");
      this.isOn = true;
      this.prepare();
    }
    this.onChange();
  }

  show(photo: PhotoInfo | undefined): void {
    this.photo = photo;
    this.opened = undefined;
    this.prepare();
  }

  /** Takes the model up that answers on the server now. */
  follow(digest: string): void {
    if (!this.ready || this.ready.about.digest === digest) return;
    this.forget();
    this.prepare();
  }

  /** The masks that follow from a prompt. */
  async predict(photo: PhotoInfo, prompt: Prompt, isPreview: boolean): Promise<Prediction> {
    const { opened } = this;
    if (opened?.photo === photo) {
      try {
        return await predictHere(opened, prompt, isPreview);
      } catch (error) {
        if (this.opened === opened) this.fail(error);
      }
    }
    const url = `/api/photos/${photo.id}/predict`;
    if (isPreview) return post<Prediction>(url, { prompt, is_preview: true });
    return untilAnswered(() => post<Prediction>(url, { prompt }), this.onTrouble);
  }

  /** Gets what is needed for the photo that is open, in the background: the server answers meanwhile. */
  private prepare(): void {
    const { photo, turn } = this;
    if (!this.isOn || !photo) return;
    const isCurrent = () => this.turn === turn && this.photo === photo;
    this.work = this.work.then(async () => {
      try {
        if (isCurrent()) await this.open(photo, isCurrent);
      } catch (error) {
        if (isCurrent()) this.fail(error);
      }
    });
  }

  private async open(photo: PhotoInfo, isCurrent: () => boolean): Promise<void> {
    const { turn } = this;
    const ready = this.ready ?? (await load());
    if (this.turn !== turn) ready.model.close();
    else this.ready = ready;
    if (!isCurrent()) return;
    const url = `/api/photos/${photo.id}/embeddings/${ready.about.digest}?version=${photo.version}`;
    let bytes: ArrayBuffer;
    try {
      bytes = await untilAnswered(() => getBytes(url), this.onTrouble);
    } catch (error) {
      if (!(error instanceof Refusal && error.status === CONFLICT)) throw error;
      // Another model answers now, which the next look at the server's state tells; or the photo is somebody else's.
      return;
    }
    if (!isCurrent()) return;
    await ready.model.useEmbedding(new Float32Array(bytes), ready.about.embedding);
    const answers = new Answers((placed, previous) => ready.model.decode(placed, previous), photo, ready.frame);
    if (isCurrent()) this.opened = { ...ready, photo, answers };
    this.onChange();
  }

  private forget(): void {
    this.turn++;
    this.ready?.model.close();
    this.ready = this.opened = undefined;
  }

  private stop(): void {
    this.isOn = false;
    this.forget();
  }

  /** Leaves decoding to the server, until the user asks again or loads the page again. */
  private fail(error: unknown): void {
    this.stop();
    const reason = error instanceof Error ? error.message : String(error);
    this.onProblem(`The server decodes: ${reason}`);
    this.onChange();
  }
}

async function load(): Promise<Ready> {
  const about = await get<About>("/api/decoding");
  if (about.problem !== null) throw new Error(about.problem);
  const [height, width] = about.image_size;
  const frame = { height, width };
  const locate = (path: string) => new URL(path, location.origin).href;
  const model = new Model();
  try {
    const [runtime, decoder] = [locate(`/ort/${about.runtime}/`), locate(`/api/decoders/${about.digest}`)];
    await model.open({ runtime, decoder, cache: "default", frame });
  } catch (error) {
    model.close();
    throw error;
  }
  return { about, model, frame };
}

async function predictHere({ about, frame, photo, answers }: Opened, prompt: Prompt, isPreview: boolean): Promise<Prediction> {
  const answer = await answers.answer(prompt);
  const chosen = choose(answer, prompt.choice);
  const draw = (index: number, isSmall: boolean) => {
    const scale = isSmall ? Math.min(1, PREVIEW_SIDE / Math.max(photo.height, photo.width)) : 1;
    const size = {
      height: Math.max(1, Math.round(photo.height * scale)),
      width: Math.max(1, Math.round(photo.width * scale)),
    };
    const runs = threshold(answer.logits[index], answer.low, frame, photo, size);
    return { rle: encodeRle(runs), predicted_iou: answer.iou[index] };
  };
  const isAmbiguous = answer.iou.length > 1;
  return {
    model: about.model,
    mask: draw(chosen, isPreview),
    choice: isAmbiguous ? chosen : null,
    masks: isAmbiguous && !isPreview ? answer.iou.map((_, index) => draw(index, true)) : [],
  };
}
