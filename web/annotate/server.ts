/** Talking to the server: requests that are tried again, and a queue of changes that outlives the page. */

import type { Box, Click } from "../shared/prompts";
import type { Rle } from "../shared/runs";

export type MaskState = "prefilled" | "draft" | "done" | "skipped" | "removed";

export interface Prompt {
  readonly base: string | null;
  readonly box: Box | null;
  readonly clicks: readonly Click[];
  readonly choice: number | null;
}

/** What the server is told of a mask. */
export interface MaskFields {
  readonly id: string;
  readonly revision: number;
  readonly state: MaskState;
  readonly verdict: string | null;
  readonly label: string;
  readonly counts: string | null;
  readonly prompt: Prompt | null;
  readonly predicted_iou: number | null;
  /** Number of the model that has drawn it; null for a brush alone. */
  readonly model: number | null;
  readonly clicks: number;
  readonly strokes: number;
  readonly seconds: number;
}

/** What the server tells of a mask. */
export interface MaskRow extends MaskFields {
  readonly stage: number;
  readonly area: number;
  readonly person: string | null;
}

export interface History {
  readonly undo: number | null;
  readonly redo: number | null;
}

export interface PhotoInfo {
  readonly id: number;
  readonly path: string;
  readonly height: number;
  readonly width: number;
  readonly levels: number;
  readonly version: string;
  readonly is_finished: boolean;
}

export interface Opened {
  readonly lease: string;
  readonly photo: PhotoInfo;
  readonly masks: readonly MaskRow[];
  readonly history: History;
}

export interface Outcome {
  readonly mask_id: string;
  readonly mask: MaskRow | null;
  readonly history: History;
}

export interface Segmented {
  readonly rle: Rle;
  readonly predicted_iou: number;
}

export interface Prediction {
  readonly model: number;
  readonly mask: Segmented;
  readonly choice: number | null;
  readonly masks: readonly Segmented[];
}

export interface Status {
  readonly model: string;
  /** Digest of the model that answers. */
  readonly digest: string;
  readonly is_ready: boolean;
  readonly photos: { readonly total: number; readonly finished: number; readonly problems: number };
  readonly masks: number;
}

export interface ListedPhoto {
  readonly id: number;
  readonly path: string;
  readonly masks: number;
  readonly is_finished: boolean;
  readonly problem: string | null;
  readonly holder: string | null;
}

/** The server has refused something; trying again would not help. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** The server could not be reached, or asks to try again. */
class Interruption extends Error {}

const RETRY_MS = [300, 700, 1500, 3000];

export function newName(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function get<T>(url: string): Promise<T> {
  return read(await reach(url, {}));
}

export async function getBytes(url: string): Promise<ArrayBuffer> {
  const response = await reach(url, {});
  if (!response.ok) return read(response);
  try {
    return await response.arrayBuffer();
  } catch {
    throw new Interruption("The server's answer was cut off");
  }
}

/** Asks once; for what loses its sense with time. */
export async function post<T>(url: string, body: unknown): Promise<T> {
  const headers = { "content-type": "application/json" };
  return read(await reach(url, { method: "POST", headers, body: JSON.stringify(body) }));
}

export function postUntilAnswered<T>(url: string, body: unknown, onTrouble: (problem: string | null) => void): Promise<T> {
  return untilAnswered(() => post<T>(url, body), onTrouble);
}

/** Asks until there is an answer. */
export async function untilAnswered<T>(ask: () => Promise<T>, onTrouble: (problem: string | null) => void): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await ask();
      if (attempt > 0) onTrouble(null);
      return answer;
    } catch (error) {
      if (!(error instanceof Interruption)) {
        if (attempt > 0) onTrouble(null);
        throw error;
      }
      onTrouble(error.message);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
    }
  }
}

/** Leaves a message although the page is being closed. */
export function postAtParting(url: string, body: unknown): void {
  const headers = { "content-type": "application/json" };
  void fetch(url, { method: "POST", headers, body: JSON.stringify(body), keepalive: true }).catch(() => undefined);
}

async function reach(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch {
    throw new Interruption("The server does not answer");
  }
}

async function read<T>(response: Response): Promise<T> {
  let document: { error?: string } | undefined;
  try {
    document = await response.json();
  } catch {
    if (response.ok) throw new Interruption("The server's answer was cut off");
  }
  if (response.ok) return document as T;
  const problem = document?.error ?? `The server answers ${response.status}`;
  if ([502, 503, 504, 507].includes(response.status)) throw new Interruption(problem);
  throw new Refusal(problem, response.status);
}

interface Waiting {
  readonly url: string;
  readonly body: unknown;
}

const WAITING = "annotate.waiting";

/**
 * Changes on their way to the server, one after the other. They lie in the browser's storage until they are saved, so
 * that neither a server that is started again nor a page that is closed loses one.
 */
export class Outbox {
  private readonly waiting: Waiting[];
  private working: Promise<void> | undefined;

  constructor(
    private readonly onTrouble: (problem: string | null) => void,
    private readonly onSaved: (outcome: Outcome) => void,
    private readonly onRefusal: (refusal: Refusal) => void,
    private readonly onLength: (length: number) => void,
  ) {
    this.waiting = JSON.parse(localStorage.getItem(WAITING) ?? "[]") as Waiting[];
  }

  add(url: string, body: unknown): void {
    this.waiting.push({ url, body });
    this.keep();
    void this.flush();
  }

  get length(): number {
    return this.waiting.length;
  }

  /** Resolves when all that was added is saved, or refused. */
  flush(): Promise<void> {
    this.working ??= this.work().finally(() => (this.working = undefined));
    return this.working;
  }

  private async work(): Promise<void> {
    while (this.waiting.length) {
      const { url, body } = this.waiting[0];
      try {
        const outcome = await postUntilAnswered<Outcome>(url, body, this.onTrouble);
        this.waiting.shift();
        this.keep();
        this.onSaved(outcome);
      } catch (error) {
        // What follows a refused change was made on top of it.
        const lost = this.waiting.splice(0).length;
        this.keep();
        if (!(error instanceof Refusal)) throw error;
        const more = lost > 1 ? `; ${lost} changes were not saved` : "; the change was not saved";
        this.onRefusal(new Refusal(error.message + more, error.status));
      }
    }
  }

  private keep(): void {
    try {
      localStorage.setItem(WAITING, JSON.stringify(this.waiting));
    } catch {
      // A browser without room keeps them in memory only.
    }
    this.onLength(this.waiting.length);
  }
}
