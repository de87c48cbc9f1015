/** The page: a photo, a preview under the pointer, clicks and boxes, a choice of masks, a PNG. */

import "../shared/theme.css";
import "./style.css";
import { colourOf, cssColour } from "../shared/colours";
import { threshold, type Size } from "../shared/framing";
import { logitsOf, type Masks } from "../shared/messages";
import { Model } from "../shared/model";
import { Navigation } from "../shared/navigation";
import type { DrawnMask } from "../shared/overlay";
import type { Runs } from "../shared/runs";
import { BitmapPhoto, Stage } from "../shared/stage";
import type { Point, View } from "../shared/view";
import { readColours, toPng } from "./bitmaps";
import { MANIFEST, type About } from "./manifest";
import { Prompt } from "./prompt";

const LEAST_DRAG = 5;
const FIRST_OF_THREE = 1;
const CHOSEN = colourOf(0);
const PREVIEW = colourOf(3);

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const status = element("status");
const choices = element("choices");
const buttons = {
  undo: element<HTMLButtonElement>("undo"),
  clear: element<HTMLButtonElement>("clear"),
  save: element<HTMLButtonElement>("save"),
};

const model = new Model();
const prompt = new Prompt();
let about: About | undefined;
let photo: { readonly name: string; readonly size: Size } | undefined;
let isReady = false;
let questions = 0;
/** The answer to the present prompt; the last mask is seen until there is one. */
let answer: Masks | undefined;
let chosen = 0;
/** The chosen mask at the photo's size. */
let mask: Runs | undefined;
let preview: Runs | undefined;
let pointer: Point | undefined;
let press: { readonly at: Point; readonly isInside: boolean } | undefined;

const stage = new Stage(element<HTMLCanvasElement>("canvas"), drawnMasks, drawMarks);
const navigation = new Navigation(stage, () => false);

function* drawnMasks(): Iterable<DrawnMask> {
  if (mask) yield { runs: mask, colour: CHOSEN, fill: 0.45, outline: 2 };
  else if (preview) yield { runs: preview, colour: PREVIEW, fill: 0.3, outline: 1 };
}

function drawMarks(context: CanvasRenderingContext2D, view: View): void {
  const outline = (left: Point, right: Point) => {
    const [[x, y], [endX, endY]] = [view.toScreen(left), view.toScreen(right)];
    context.strokeStyle = cssColour(CHOSEN);
    context.lineWidth = 2;
    context.strokeRect(x, y, endX - x, endY - y);
  };
  for (const mark of prompt) {
    if ("box" in mark) outline([mark.box[0], mark.box[1]], [mark.box[2], mark.box[3]]);
    else {
      const [x, y] = view.toScreen(mark.point);
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.fillStyle = mark.isInside ? "#2b8a3e" : "#b3261e";
      context.fill();
      context.strokeStyle = "white";
      context.lineWidth = 2;
      context.stroke();
    }
  }
  if (press && pointer && isDrag()) outline(press.at, pointer);
}

function say(text: string): void {
  status.textContent = text;
}

function complain(error: unknown): void {
  const line = element("error");
  line.textContent = error instanceof Error ? error.message : String(error);
  line.hidden = false;
  say("");
}

/** Runs what may fail, and shows on the page why it did. */
async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    complain(error);
  }
}

async function fetchFile(path: string): Promise<Response> {
  const found = await fetch(new URL(path, document.baseURI), { cache: "no-cache" });
  if (!found.ok) throw new Error(`${path} cannot be loaded: ${found.status} ${found.statusText}`);
  return found;
}

async function start(): Promise<void> {
  const file = await fetchFile(MANIFEST);
  about = (await file.json()) as About;
  say("Loading the model…");
  const locate = (path: string) => new URL(path, document.baseURI).href;
  await model.open({
    runtime: locate("ort/"),
    decoder: locate(about.decoder),
    encoder: about.encoder && locate(about.encoder),
    cache: "no-cache", // a browser would go on with the files of an earlier export
    frame: frame(),
  });
  element("file").parentElement!.hidden = !about.encoder;
  for (const ready of about.photos) {
    const button = document.createElement("button");
    button.textContent = ready.name;
    button.onclick = () => attempt(() => openReady(ready));
    element("photos").append(button);
  }
  say(about.encoder ? "Open a photo, or drop one here." : "Choose a photo.");
}

async function openFile(file: Blob, name: string): Promise<void> {
  const bitmap = await readPhoto(file, name);
  say("Looking at the photo…");
  const milliseconds = await model.encode(readColours(bitmap), bitmap);
  show(bitmap, name);
  say(`Encoded in ${(milliseconds / 1000).toFixed(1)} s. Click into the photo.`);
}

async function openReady({ name, file, embedding, shape }: About["photos"][number]): Promise<void> {
  const [image, numbers] = await Promise.all([fetchFile(file), fetchFile(embedding)]);
  const bitmap = await readPhoto(await image.blob(), name);
  await model.useEmbedding(new Float32Array(await numbers.arrayBuffer()), shape);
  show(bitmap, name);
  say("Click into the photo.");
}

async function readPhoto(file: Blob, name: string): Promise<ImageBitmap> {
  isReady = false;
  element("error").hidden = true;
  try {
    // As it is stored, but upright: so does Python read it.
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${name} is not a photo that this browser can read`);
  }
}

function show(bitmap: ImageBitmap, name: string): void {
  questions++;
  photo = { name: name.replace(/\.[^.]*$/, ""), size: { height: bitmap.height, width: bitmap.width } };
  isReady = true;
  stage.show(new BitmapPhoto(bitmap));
  prompt.clear();
  forget();
}

function forget(): void {
  answer = mask = preview = undefined;
  renderPanel();
  stage.redraw();
}

const frame = (): Size => ({ height: about!.image_size[0], width: about!.image_size[1] });

/** The masks of all clicks, the best of them chosen. */
async function decode(): Promise<void> {
  if (!photo || !isReady) return;
  const question = ++questions;
  if (prompt.isEmpty) return forget();
  const masks = await model.decode(prompt.inFrame(photo.size, frame()));
  if (question !== questions) return; // another click came meanwhile
  answer = masks;
  chosen = prompt.isAmbiguous ? bestOfThree(masks) : 0;
  preview = undefined;
  say(`Decoded in ${masks.milliseconds.toFixed(0)} ms.`);
  status.dataset.milliseconds = String(masks.milliseconds);
  choose(chosen);
}

function bestOfThree({ iou }: Masks): number {
  let best = FIRST_OF_THREE;
  for (let index = best; index < iou.length; index++) if (iou[index] > iou[best]) best = index;
  return best;
}

function choose(index: number): void {
  if (!answer || !photo) return;
  chosen = index;
  mask = threshold(logitsOf(answer, index), answer.low, frame(), photo.size);
  renderPanel();
  stage.redraw();
}

function listed(): number[] {
  if (!answer) return [];
  const three = [...answer.iou.keys()].slice(FIRST_OF_THREE);
  return prompt.isAmbiguous ? three : [0, ...three];
}

function renderPanel(): void {
  choices.replaceChildren(
    ...listed().map((index, place) => {
      const button = document.createElement("button");
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(index === chosen));
      const name = document.createElement("span");
      name.textContent = index === 0 ? `${place + 1}: all prompts together` : `${place + 1}: mask`;
      const score = document.createElement("span");
      score.className = "quiet";
      score.textContent = answer!.iou[index].toFixed(2);
      button.append(name, score);
      button.onclick = () => choose(index);
      return button;
    }),
  );
  buttons.undo.disabled = buttons.clear.disabled = prompt.isEmpty;
  buttons.save.disabled = !answer;
}

let isPreviewing = false;

/** A mask under the pointer, as long as nothing was clicked; of many movements the last one counts. */
async function showPreview(): Promise<void> {
  if (isPreviewing || !photo || !isReady || !prompt.isEmpty || !pointer || press) return;
  isPreviewing = true;
  const at = pointer;
  const shown = photo;
  await attempt(async () => {
    const hover = new Prompt();
    hover.add({ point: at, isInside: true });
    const masks = await model.decode(hover.inFrame(shown.size, frame()));
    if (prompt.isEmpty && photo === shown && pointer) {
      // Few pixels are enough to follow the pointer.
      const scale = Math.min(1, 640 / Math.max(shown.size.height, shown.size.width));
      const size = {
        height: Math.max(1, Math.round(scale * shown.size.height)),
        width: Math.max(1, Math.round(scale * shown.size.width)),
      };
      const logits = logitsOf(masks, bestOfThree(masks));
      preview = threshold(logits, masks.low, frame(), shown.size, size);
      stage.redraw();
    }
  });
  isPreviewing = false;
  if (pointer !== at) void showPreview();
}

function isDrag(): boolean {
  if (!press || !pointer) return false;
  const [[x, y], [endX, endY]] = [stage.view.toScreen(press.at), stage.view.toScreen(pointer)];
  return Math.hypot(endX - x, endY - y) >= LEAST_DRAG;
}

async function save(): Promise<void> {
  if (!answer || !mask || !photo) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await toPng(mask));
  link.download = `${photo.name}_mask.png`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function change(work: () => void): void {
  work();
  answer = undefined;
  renderPanel();
  stage.redraw();
  void attempt(decode);
}

const { canvas } = stage;
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("pointerdown", (event) => {
  if (navigation.press(event) || !isReady) return;
  const at = stage.locate(event);
  if (!stage.view.isInPhoto(at)) return;
  canvas.setPointerCapture(event.pointerId);
  pointer = at;
  press = { at, isInside: event.button === 0 && !event.altKey };
});
canvas.addEventListener("pointermove", (event) => {
  if (navigation.move(event)) return;
  const at = stage.locate(event);
  pointer = stage.view.isInPhoto(at) || press ? at : undefined;
  if (!pointer) preview = undefined;
  stage.redraw();
  void showPreview();
});
canvas.addEventListener("pointerup", (event) => {
  if (navigation.release() || !press || !photo) return;
  pointer = stage.locate(event);
  const { at, isInside } = press;
  const [end, isBox] = [pointer, isDrag()];
  press = undefined;
  const { height, width } = photo.size;
  const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
  const corner = (pick: (...numbers: number[]) => number): Point => [
    within(pick(at[0], end[0]), width),
    within(pick(at[1], end[1]), height),
  ];
  change(() =>
    prompt.add(isBox ? { box: [...corner(Math.min), ...corner(Math.max)] } : { point: at, isInside }),
  );
});
canvas.addEventListener("pointerleave", () => {
  if (press) return;
  pointer = preview = undefined;
  stage.redraw();
});

buttons.undo.onclick = () => change(() => prompt.undo());
buttons.clear.onclick = () => change(() => prompt.clear());
buttons.save.onclick = () => attempt(save);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " ") navigation.isSpaceHeld = true;
  else if (event.key === "z") change(() => prompt.undo());
  else if (event.key === "Escape") change(() => prompt.clear());
  else if (event.key === "s") void attempt(save);
  else if (/^[1-4]$/.test(event.key)) {
    const index = listed()[Number(event.key) - 1];
    if (index !== undefined) choose(index);
  }
});
addEventListener("keyup", (event) => {
  if (event.key === " ") navigation.isSpaceHeld = false;
});

const file = element<HTMLInputElement>("file");
file.onchange = () => {
  const [chosenFile] = file.files ?? [];
  if (chosenFile) void attempt(() => openFile(chosenFile, chosenFile.name));
  file.value = "";
};
const drop = element("stage");
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [dropped] = event.dataTransfer?.files ?? [];
  if (dropped) void attempt(() => openFile(dropped, dropped.name));
});

void attempt(start);
