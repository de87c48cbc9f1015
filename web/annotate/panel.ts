/** What stands beside the photo: the clock, the three candidates, the mask in hand, and the list of all. */

import { decodeRle, type Runs } from "../shared/runs";
import { Overlay } from "../shared/overlay";
import type { Clock } from "./clock";
import { swatch, type Easel } from "./easel";
import type { Mask, Session } from "./session";

const LATE_SECONDS = 30;

export function find<T extends HTMLElement = HTMLElement>(selector: string): T {
  return document.querySelector<T>(selector)!;
}

export class Panel {
  private session: Session | undefined;
  private readonly rows = new Map<string, HTMLLIElement>();
  private drawnCandidates: unknown;

  constructor(
    private readonly easel: Easel,
    private readonly clock: Clock,
  ) {
    setInterval(() => this.tick(), 250);
    const list = find("#list ol");
    list.addEventListener("click", (event) => {
      const row = (event.target as HTMLElement).closest("li");
      if (row && this.session) this.take(this.session.masks.get(row.dataset.id!));
    });
    const label = find<HTMLInputElement>("#label");
    label.addEventListener("change", () => this.session?.label(label.value.trim()));
  }

  show(session: Session | undefined): void {
    this.session = session;
    this.rows.clear();
    find("#list ol").replaceChildren();
    this.update();
  }

  take(mask: Mask | undefined): void {
    this.session?.select(mask?.id);
    if (mask) this.easel.focus(mask);
  }

  /** Takes the next mask in hand, or the one before. */
  step(direction: 1 | -1): void {
    const masks = this.session?.shown ?? [];
    if (!masks.length) return;
    const at = masks.findIndex((mask) => mask.id === this.session!.current?.id);
    const next = at < 0 ? (direction > 0 ? 0 : masks.length - 1) : (at + direction + masks.length) % masks.length;
    this.take(masks[next]);
  }

  update(): void {
    const { session } = this;
    const mask = session?.current;
    const shown = session?.shown ?? [];
    const waiting = session?.waiting.length ?? 0;
    find("#count").textContent = `${shown.length} ${shown.length === 1 ? "mask" : "masks"}`;
    find("#prefilled").hidden = waiting === 0;
    find("#waiting").textContent = `${waiting} pre-filled ${waiting === 1 ? "waits" : "wait"}`;
    this.updateList(shown, mask);
    this.updateCurrent(mask);
    this.updateCandidates();
    this.tick();
    for (const tool of document.querySelectorAll<HTMLElement>("[data-tool]")) {
      tool.ariaPressed = String(tool.dataset.tool === this.easel.tool);
    }
    const { isHidden, isOutline, hasColours } = this.easel.look;
    find("#hide").ariaPressed = String(isHidden);
    find("#outline").ariaPressed = String(isOutline);
    find("#colour").ariaPressed = String(hasColours);
    find<HTMLButtonElement>("#undo").disabled = session?.history.undo == null;
    find<HTMLButtonElement>("#redo").disabled = session?.history.redo == null;
    const complete = find("#complete");
    complete.firstChild!.textContent = session?.isFinished ? "Finished: open it again " : "Nothing more to see ";
    document.body.toggleAttribute("data-busy", session?.isBusy ?? false);
  }

  private updateCurrent(mask: Mask | undefined): void {
    find("#current-name").textContent = mask ? `Mask ${mask.number + 1}` : "New mask";
    const iou = mask?.predicted_iou;
    const facts = mask
      ? [
          mask.state === "prefilled" ? "pre-filled" : mask.state,
          `${mask.clicks} ${mask.clicks === 1 ? "click" : "clicks"}`,
          ...(mask.strokes ? [`${mask.strokes} ${mask.strokes === 1 ? "stroke" : "strokes"}`] : []),
          ...(iou == null ? [] : [`IoU ${iou.toFixed(2)}`]),
        ]
      : ["click, or drag a box"];
    find("#current-facts").textContent = facts.join(" · ");
    const label = find<HTMLInputElement>("#label");
    if (document.activeElement !== label) label.value = mask?.label ?? "";
    label.disabled = !mask;
    find<HTMLButtonElement>("#finish").disabled = !mask;
    find<HTMLButtonElement>("#skip").disabled = !this.session || mask?.state === "done" || mask?.state === "prefilled";
    find<HTMLButtonElement>("#remove").disabled = !mask;
  }

  private updateList(shown: readonly Mask[], current: Mask | undefined): void {
    const list = find("#list ol");
    const kept = new Set(shown.map((mask) => mask.id));
    for (const [id, row] of this.rows) {
      if (!kept.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    const labels = new Set<string>();
    for (const mask of shown) {
      let row = this.rows.get(mask.id);
      if (!row) {
        row = document.createElement("li");
        row.dataset.id = mask.id;
        row.append(...["i", "span", "span", "small"].map((kind) => document.createElement(kind)));
        row.children[1].className = "number";
        this.rows.set(mask.id, row);
        list.append(row);
      }
      const [colour, number, name, facts] = row.children as unknown as HTMLElement[];
      colour.style.background = swatch(mask, this.easel.look.hasColours);
      number.textContent = String(mask.number + 1);
      name.textContent = mask.label || (mask.state === "draft" ? "draft" : mask.state === "prefilled" ? "pre-filled" : "");
      row.dataset.state = mask.state;
      facts.textContent = `${mask.seconds.toFixed(0)} s`;
      row.title = mask.person ? `by ${mask.person}` : "";
      if (mask.label) labels.add(mask.label);
      const isCurrent = mask.id === current?.id;
      if (isCurrent && row.ariaSelected !== "true") row.scrollIntoView({ block: "nearest" });
      row.ariaSelected = String(isCurrent);
    }
    const options = find("#labels");
    if (options.childElementCount !== labels.size) {
      options.replaceChildren(...[...labels].sort().map((label) => new Option(label)));
    }
  }

  private updateCandidates(): void {
    const { session } = this;
    const candidates = session?.choice === undefined ? [] : session.candidates;
    find("#candidates").hidden = candidates.length < 2;
    const isNew = candidates !== this.drawnCandidates;
    this.drawnCandidates = candidates;
    candidates.forEach((candidate, index) => {
      const button = find(`[data-choice="${index}"]`);
      button.ariaPressed = String(index === session!.choice);
      button.lastElementChild!.textContent = `${index + 1} · IoU ${candidate.predicted_iou.toFixed(2)}`;
      if (isNew) drawCandidate(button.querySelector("canvas")!, decodeRle(candidate.rle));
    });
  }

  private tick(): void {
    const { session } = this;
    const seconds = session ? this.clock.seconds : 0;
    const isLate = seconds > LATE_SECONDS && session?.current?.state !== "done";
    find("#clock").classList.toggle("late", isLate);
    find("#clock output").textContent = `${Math.floor(seconds)} s`;
    find("#clock-hint").textContent = isLate ? "over 30 s: S skips it" : "at this mask";
    find(".bar i").style.width = `${Math.min(100, (100 * seconds) / LATE_SECONDS)}%`;
  }
}

/** The photo's frame with a mask in it. */
function drawCandidate(canvas: HTMLCanvasElement, runs: Runs): void {
  const ratio = devicePixelRatio;
  canvas.width = 80 * ratio;
  canvas.height = 60 * ratio;
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const scale = Math.min(canvas.width / runs.width, canvas.height / runs.height);
  const view = {
    scale,
    left: (canvas.width - runs.width * scale) / 2,
    top: (canvas.height - runs.height * scale) / 2,
  };
  context.fillStyle = "rgb(127 127 127 / 0.25)";
  context.fillRect(view.left, view.top, runs.width * scale, runs.height * scale);
  new Overlay().draw(context, view, runs, [{ runs, colour: [64, 156, 255], fill: 0.9, outline: 0 }]);
}
