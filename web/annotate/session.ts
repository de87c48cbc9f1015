/** The work at one photo: its masks, the one in hand, and what each click, stroke and key does to them. */

import type { Box, Click } from "../shared/prompts";
import { bounds, decodeRle, emptyRuns, encodeRle, type Runs } from "../shared/runs";
import type { Clock } from "./clock";
import type { Decoding } from "./decoding";
import {
  newName,
  postUntilAnswered,
  Refusal,
  type History,
  type MaskFields,
  type MaskRow,
  type Opened,
  type Outbox,
  type Outcome,
  type Prompt,
  type Segmented,
} from "./server";

export interface Mask extends MaskFields {
  readonly runs: Runs;
  /** Its number in the photo, which gives its colour. */
  readonly number: number;
  readonly stage: number;
  readonly person: string | null;
}

type Kind = "click" | "box" | "choose" | "stroke" | "clear" | "finish" | "skip" | "remove" | "label" | "accept" | "reject";

const EMPTY: Prompt = { base: null, box: null, clicks: [], choice: null };
const MOST_CLICKS = 30;

export class Session {
  readonly masks = new Map<string, Mask>();
  /** The three masks that a first click gives. */
  candidates: readonly Segmented[] = [];
  /** Clicks that have been made and whose mask has not come yet. */
  pending: Click[] = [];
  history: History;
  isFinished: boolean;
  private active: string | undefined;
  private work: Promise<void> = Promise.resolve();
  private nextNumber = 0;

  constructor(
    private readonly opened: Opened,
    private readonly outbox: Outbox,
    private readonly clock: Clock,
    private readonly decoding: Decoding,
    private readonly onChange: () => void,
    private readonly onTrouble: (problem: string | null) => void,
    private readonly onProblem: (problem: string) => void,
  ) {
    this.history = opened.history;
    this.isFinished = opened.photo.is_finished;
    for (const row of opened.masks) this.take(row);
    const draft = [...this.masks.values()].reverse().find((mask) => mask.state === "draft");
    if (draft) this.select(draft.id);
    else clock.restart();
  }

  get photo() {
    return this.opened.photo;
  }

  get lease(): string {
    return this.opened.lease;
  }

  /** Masks that are there to be seen, in their order. */
  get shown(): Mask[] {
    return [...this.masks.values()].filter(isShown);
  }

  /** Pre-filled masks that nobody has decided about. */
  get waiting(): Mask[] {
    return [...this.masks.values()].filter((mask) => mask.state === "prefilled");
  }

  get current(): Mask | undefined {
    return this.active === undefined ? undefined : this.masks.get(this.active);
  }

  get isBusy(): boolean {
    return this.pending.length > 0;
  }

  /** Resolves when all that was asked for is done and saved. */
  async settle(): Promise<void> {
    await this.work;
    await this.outbox.flush();
  }

  select(id: string | undefined): void {
    if (id === this.active) return;
    this.active = id;
    this.candidates = [];
    const mask = this.current;
    this.clock.restart(mask?.seconds ?? 0);
    if (mask && isAmbiguous(mask.prompt)) void this.recallCandidates(mask);
    this.onChange();
  }

  click(click: Click, since: number): void {
    const hasMask = this.current !== undefined || this.pending.length > 0;
    if (!hasMask && click[2] === 0) {
      this.onProblem("A first click says where the object is: left button");
      return;
    }
    this.pending.push(click);
    this.onChange();
    this.queue(async () => {
      try {
        const mask = this.current;
        const before = promptOf(mask);
        if (before.clicks.length >= MOST_CLICKS) throw new Refusal(`A mask has at most ${MOST_CLICKS} clicks`, 400);
        await this.predict(mask, "click", { ...before, clicks: [...before.clicks, click] }, since);
      } finally {
        this.pending.shift();
      }
    });
  }

  box(box: Box, since: number): void {
    this.queue(async () => {
      const mask = this.current;
      await this.predict(mask, "box", { ...EMPTY, clicks: promptOf(mask).clicks, box }, since);
    });
  }

  choose(choice: number, since: number): void {
    this.queue(async () => {
      const mask = this.current;
      if (!mask?.prompt || !isAmbiguous(mask.prompt) || choice > 2) return;
      await this.predict(mask, "choose", { ...mask.prompt, choice }, since);
    });
  }

  /** Number of the candidate that is in hand; undefined where there is no choice. */
  get choice(): number | undefined {
    const prompt = this.current?.prompt;
    return prompt && isAmbiguous(prompt) ? (prompt.choice ?? undefined) : undefined;
  }

  /** The pixels that a brush has left of the mask in hand. */
  stroke(runs: Runs): void {
    this.queue(async () => {
      const mask = this.current ?? this.begin();
      this.candidates = [];
      const state = stateAfter(mask);
      this.save("stroke", mask, { ...contentOf(runs), state, prompt: null, strokes: mask.strokes + 1 });
    });
  }

  get strokeBase(): Runs {
    return this.current?.runs ?? emptyRuns(this.photo.height, this.photo.width);
  }

  finish(): void {
    this.queue(async () => {
      const mask = this.current;
      if (!mask) return;
      if (mask.runs.edges.length === 0) throw new Refusal("A mask without pixels cannot be kept", 400);
      if (mask.state === "prefilled") {
        this.decide([mask], "accept");
        return;
      }
      if (mask.state !== "done") this.save("finish", mask, { state: "done" });
      this.select(undefined);
    });
  }

  /** Accepts or rejects the pre-filled mask in hand and goes on to the next; with none in hand, takes one. */
  judge(kind: "accept" | "reject"): void {
    this.queue(async () => {
      const mask = this.current;
      if (mask?.state === "prefilled") this.decide([mask], kind);
      else if (!mask) this.select(this.waiting[0]?.id);
    });
  }

  /** Accepts or rejects all pre-filled masks that wait. */
  judgeAll(kind: "accept" | "reject"): void {
    this.queue(async () => this.decide(this.waiting, kind));
  }

  private decide(masks: readonly Mask[], kind: "accept" | "reject"): void {
    const active = this.active;
    const order = this.waiting.map((mask) => mask.id);
    for (const mask of masks) {
      const seconds = mask.id === active ? this.clock.seconds : mask.seconds;
      this.save(kind, mask, { state: kind === "accept" ? "done" : "removed" }, seconds);
    }
    const place = order.indexOf(masks[0]?.id ?? "");
    const left = this.waiting;
    const next = left.find((mask) => order.indexOf(mask.id) > place) ?? left[0];
    this.active = undefined;
    this.candidates = [];
    if (next && active !== undefined) this.select(next.id);
    else this.clock.restart();
  }

  /** Gives up a mask that takes too long; it counts as skipped. */
  skip(): void {
    this.queue(async () => {
      const mask = this.current ?? this.begin();
      if (mask.state === "done" || mask.state === "prefilled") return;
      this.save("skip", mask, { state: "skipped" });
      this.select(undefined);
    });
  }

  remove(): void {
    this.queue(async () => {
      const mask = this.current;
      if (!mask) return;
      if (mask.state === "prefilled") {
        this.decide([mask], "reject");
        return;
      }
      this.save(mask.state === "draft" ? "clear" : "remove", mask, { state: "removed" });
      this.select(undefined);
    });
  }

  label(text: string): void {
    this.queue(async () => {
      const mask = this.current;
      if (mask && mask.label !== text) this.save("label", mask, { label: text });
    });
  }

  undo(): void {
    this.step("undo");
  }

  redo(): void {
    this.step("redo");
  }

  async setFinished(isFinished: boolean): Promise<void> {
    await this.settle();
    const body = { lease: this.lease, is_finished: isFinished };
    await postUntilAnswered(`/api/photos/${this.photo.id}/finish`, body, this.onTrouble);
    this.isFinished = isFinished;
    this.onChange();
  }

  /** The mask that lies uppermost at a place: of several, the smallest. */
  maskAt(contains: (mask: Mask) => boolean): Mask | undefined {
    const size = (mask: Mask) => {
      const box = bounds(mask.runs)!;
      return (box.right - box.left) * (box.bottom - box.top);
    };
    return this.shown.filter(contains).sort((one, other) => size(one) - size(other))[0];
  }

  /** What the server says of a mask after a change; a later change of ours may be on its way. */
  saved(outcome: Outcome): void {
    this.history = outcome.history;
    this.onChange();
  }

  private step(direction: "undo" | "redo"): void {
    this.queue(async () => {
      await this.outbox.flush();
      const number = this.history[direction];
      if (number === null) return;
      const url = `/api/photos/${this.photo.id}/${direction}`;
      const outcome = await postUntilAnswered<Outcome>(url, { lease: this.lease, number }, this.onTrouble);
      this.history = outcome.history;
      if (outcome.mask) this.take(outcome.mask);
      else this.masks.delete(outcome.mask_id);
      this.active = undefined;
      this.candidates = [];
      const mask = this.masks.get(outcome.mask_id);
      if (mask && isShown(mask)) this.select(mask.id);
      else this.clock.restart();
    });
  }

  private begin(): Mask {
    return {
      id: newName(),
      revision: 0,
      state: "draft",
      verdict: null,
      label: "",
      counts: null,
      prompt: null,
      predicted_iou: null,
      model: null,
      clicks: 0,
      strokes: 0,
      seconds: this.clock.seconds,
      runs: emptyRuns(this.photo.height, this.photo.width),
      number: this.nextNumber++,
      stage: 1,
      person: null,
    };
  }

  private async predict(mask: Mask | undefined, kind: Kind, prompt: Prompt, since: number): Promise<void> {
    const prediction = await this.decoding.predict(this.photo, prompt, false);
    const runs = decodeRle(prediction.mask.rle);
    const changed = mask ?? this.begin();
    this.candidates = prediction.masks;
    this.save(kind, changed, {
      ...contentOf(runs),
      state: stateAfter(changed),
      prompt: { ...prompt, choice: prediction.choice ?? prompt.choice },
      predicted_iou: prediction.mask.predicted_iou,
      model: prediction.model,
      clicks: changed.clicks + (kind === "choose" ? 0 : 1),
    });
    requestAnimationFrame(() => performance.measure("click to mask", { start: since, end: performance.now() }));
  }

  private async recallCandidates(mask: Mask): Promise<void> {
    try {
      const prediction = await this.decoding.predict(this.photo, mask.prompt!, false);
      if (this.current?.id === mask.id && this.current.revision === mask.revision) {
        this.candidates = prediction.masks;
        this.onChange();
      }
    } catch {
      // Without pictures of the three, their keys do as well.
    }
  }

  private save(kind: Kind, mask: Mask, fields: Partial<Mask>, seconds = this.clock.seconds): void {
    const after: Mask = { ...mask, ...fields, seconds };
    this.masks.set(mask.id, { ...after, revision: mask.revision + 1 });
    if (isShown(after)) this.active = mask.id;
    const { runs: _runs, number: _number, stage: _stage, person: _person, ...told } = after;
    this.outbox.add(`/api/photos/${this.photo.id}/changes`, {
      lease: this.lease,
      change_id: newName(),
      kind,
      mask: told,
    });
    this.onChange();
  }

  private take(row: MaskRow): void {
    const { height, width } = this.photo;
    const runs = row.counts === null ? emptyRuns(height, width) : decodeRle({ size: [height, width], counts: row.counts });
    const { id, revision, state, verdict, label, counts, prompt, predicted_iou, model, clicks, strokes, seconds, stage, person } = row;
    const told = { id, revision, state, verdict, label, counts, prompt, predicted_iou, model, clicks, strokes, seconds };
    const number = this.masks.get(id)?.number ?? this.nextNumber++;
    this.masks.set(id, { ...told, runs, number, stage, person });
  }

  /** One thing after the other: each begins with the mask that the one before has left. */
  private queue(task: () => Promise<void>): void {
    this.work = this.work.then(task).catch((error: unknown) => {
      this.onProblem(error instanceof Error ? error.message : String(error));
    }).then(() => this.onChange());
  }
}

/** The prompt to which a click is added: the mask's own, or the mask itself where a brush was at work. */
function promptOf(mask: Mask | undefined): Prompt {
  if (!mask) return EMPTY;
  return mask.prompt ?? { ...EMPTY, base: mask.counts };
}

function isShown(mask: Mask): boolean {
  return mask.state === "prefilled" || mask.state === "draft" || mask.state === "done";
}

/** What a change of its pixels makes of a mask. */
function stateAfter(mask: Mask): Mask["state"] {
  return mask.state === "prefilled" ? "draft" : mask.state;
}

/** Whether a prompt has three answers. */
function isAmbiguous(prompt: Prompt | null): boolean {
  return prompt !== null && prompt.base === null && prompt.box === null && prompt.clicks.length === 1;
}

function contentOf(runs: Runs): Pick<Mask, "runs" | "counts"> {
  return { runs, counts: encodeRle(runs).counts };
}
