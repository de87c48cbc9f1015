/** The page of `sam-jax annotate`. */

import "../shared/theme.css";
import "./style.css";
import { Clock } from "./clock";
import { Decoding } from "./decoding";
import { Easel, type Tool } from "./easel";
import { listenToKeys, renderKeys } from "./keys";
import { find, Panel } from "./panel";
import {
  get,
  Outbox,
  post,
  postAtParting,
  postUntilAnswered,
  Refusal,
  type ListedPhoto,
  type Opened,
  type Status,
} from "./server";
import { Session } from "./session";
import { renderStatistics, type Statistics } from "./statistics";

const RENEW_MS = 30_000;
const STATUS_MS = 5_000;
const LISTED = 400;
const PERSON = "annotate.person";
const OPEN = "annotate.open";
const THEME = "annotate.theme";
const PREFILLED_STAGE = 2;

let session: Session | undefined;
let person = localStorage.getItem(PERSON) ?? "";
let isOpening = false;

const clock = new Clock();
const outbox = new Outbox(showTrouble, (outcome) => session?.saved(outcome), refuse, showSaving);
const decoding = new Decoding(showDecoding, showTrouble, showProblem);
const easel = new Easel(find<HTMLCanvasElement>("#stage canvas"), decoding, () => panel.update(), showProblem);
const panel = new Panel(easel, clock);

function update(): void {
  easel.stage.redraw();
  panel.update();
}

/** Something that goes on until it is over; null when it is. */
function showTrouble(problem: string | null): void {
  const bar = find("#trouble");
  bar.hidden = problem === null;
  bar.firstElementChild!.textContent = problem === null ? "" : `${problem}. Trying again; nothing is lost.`;
}

function showProblem(problem: string): void {
  find("#trouble").hidden = false;
  find("#trouble").firstElementChild!.textContent = problem;
}

function showSaving(length: number): void {
  const saving = find("#saving");
  saving.dataset.state = length ? "waiting" : "saved";
  saving.textContent = length ? `saving ${length}…` : "saved";
}

function showDecoding(): void {
  const button = find("#decoding");
  button.ariaPressed = String(decoding.state !== "server");
  button.dataset.state = decoding.state;
}

/** A change that the server does not take: what it has counts. */
function refuse(refusal: Refusal): void {
  showProblem(refusal.message);
  if (session) void open(session.photo.id, true);
}

function show(opened: Opened): void {
  session = new Session(opened, outbox, clock, decoding, update, showTrouble, showProblem);
  sessionStorage.setItem(OPEN, JSON.stringify({ id: opened.photo.id, lease: opened.lease }));
  find("#photo-name").textContent = opened.photo.path;
  document.title = `${opened.photo.path} – Annotate`;
  find("#nothing").hidden = true;
  document.body.dataset.photo = String(opened.photo.id);
  easel.show(session);
  panel.show(session);
  decoding.show(session.photo);
  showDecoding();
  void showStatus();
}

async function leave(): Promise<void> {
  if (!session) return;
  await session.settle();
  const { photo, lease } = session;
  await post(`/api/photos/${photo.id}/release`, { lease }).catch(() => undefined);
}

/** Opens a photo in place of the one that is open. */
async function moveTo(load: () => Promise<Opened | null>): Promise<void> {
  if (isOpening) return;
  isOpening = true;
  try {
    await leave();
    const opened = await load();
    if (opened) show(opened);
    else showNothing();
  } catch (error) {
    showProblem(error instanceof Error ? error.message : String(error));
    if (session) await open(session.photo.id, true).catch(() => showNothing());
  } finally {
    isOpening = false;
  }
}

async function open(id: number, isAgain = false): Promise<void> {
  const load = async () => {
    const url = `/api/photos/${id}/open`;
    const { opened } = await postUntilAnswered<{ opened: Opened }>(url, { person, lease: savedLease(id) }, showTrouble);
    return opened;
  };
  if (isAgain) show(await load());
  else await moveTo(load);
}

function savedLease(id: number): string | null {
  const saved = JSON.parse(sessionStorage.getItem(OPEN) ?? "null") as { id: number; lease: string } | null;
  return saved?.id === id ? saved.lease : null;
}

function openNext(): Promise<void> {
  return moveTo(async () => {
    const body = { person, after: session?.photo.id ?? null };
    return (await postUntilAnswered<{ opened: Opened | null }>("/api/next", body, showTrouble)).opened;
  });
}

/** The photo beside this one in the list that nobody else has. */
async function openBeside(direction: 1 | -1): Promise<void> {
  const photos = (await listPhotos()).filter((photo) => !photo.problem && (!photo.holder || photo.holder === person));
  const here = session?.photo.id ?? 0;
  const beside = direction > 0 ? photos.find((photo) => photo.id > here) : photos.filter((photo) => photo.id < here).pop();
  if (beside) await open(beside.id);
}

async function listPhotos(): Promise<ListedPhoto[]> {
  const photos: ListedPhoto[] = [];
  for (;;) {
    const after = photos.length ? photos[photos.length - 1].id : 0;
    const page = (await get<{ photos: ListedPhoto[] }>(`/api/photos?after=${after}`)).photos;
    if (!page.length) return photos;
    photos.push(...page);
  }
}

function showNothing(): void {
  session = undefined;
  sessionStorage.removeItem(OPEN);
  delete document.body.dataset.photo;
  easel.show(undefined);
  panel.show(undefined);
  decoding.show(undefined);
  showDecoding();
  find("#photo-name").textContent = "All photos";
  find("#nothing").hidden = false;
  find("#nothing").textContent = "Nothing is left to do: every photo is finished, or somebody else's. G lists them.";
  void showStatus();
}

async function showStatus(): Promise<void> {
  try {
    const status = await get<Status>("/api/status");
    decoding.follow(status.digest);
    const { finished, total, problems } = status.photos;
    const bad = problems ? ` · ${problems} unusable` : "";
    const getting = status.is_ready ? "" : " · the model is getting ready…";
    find("#progress").textContent = `${finished} of ${total} photos finished · ${status.masks} masks${bad}${getting}`;
    if (!status.is_ready) setTimeout(() => void showStatus(), 1000);
  } catch {
    // Whatever is asked next says so.
  }
}

async function complete(): Promise<void> {
  if (!session) return;
  if (session.isFinished) {
    await session.setFinished(false);
    return;
  }
  if (session.current && session.current.state !== "prefilled") session.finish();
  await session.settle();
  const waiting = session.waiting.length;
  if (waiting) {
    const what = waiting === 1 ? "1 pre-filled mask waits" : `${waiting} pre-filled masks wait`;
    showProblem(`${what}: A accepts and X rejects one, with Shift all`);
    return;
  }
  await session.setFinished(true);
  await openNext();
}

async function showPhotos(): Promise<void> {
  const dialog = find<HTMLDialogElement>("#photo-dialog");
  const photos = await listPhotos();
  const search = dialog.querySelector("input")!;
  const render = () => {
    const found = photos.filter((photo) => photo.path.toLowerCase().includes(search.value.toLowerCase()));
    const rows = found.slice(0, LISTED).map((photo) => {
      const row = document.createElement("li");
      const [name, masks, state] = ["span", "small", "small"].map((kind) => document.createElement(kind));
      name.textContent = photo.path;
      masks.textContent = photo.masks ? `${photo.masks} masks` : "";
      const holder = photo.holder && photo.holder !== person ? `with ${photo.holder}` : "";
      state.textContent = photo.problem ?? (holder || (photo.is_finished ? "finished" : ""));
      row.classList.toggle("is-off", Boolean(photo.problem || holder));
      row.ariaCurrent = String(photo.id === session?.photo.id);
      row.append(name, masks, state);
      row.onclick = () => {
        dialog.close();
        void open(photo.id);
      };
      return row;
    });
    dialog.querySelector("ol")!.replaceChildren(...rows);
  };
  search.value = "";
  search.oninput = render;
  render();
  dialog.showModal();
}

async function showStatistics(): Promise<void> {
  await session?.settle();
  find("#statistics-body").replaceChildren(renderStatistics(await get<Statistics>("/api/statistics")));
  find<HTMLDialogElement>("#statistics-dialog").showModal();
}

async function askName(): Promise<void> {
  const dialog = find<HTMLDialogElement>("#name-dialog");
  const input = dialog.querySelector("input")!;
  input.value = person;
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  person = input.value.trim() || person || "somebody";
  localStorage.setItem(PERSON, person);
  find("#person").textContent = person;
}

function turnTheme(): void {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
  update();
}

function toggle(name: "isHidden" | "isOutline" | "hasColours" | "hasPreview"): void {
  easel.look[name] = !easel.look[name];
  update();
}

const zoomMiddle = (factor: number) => {
  const { width, height } = easel.stage.view.size;
  easel.stage.view.zoom(factor, [width / 2, height / 2]);
  easel.stage.redraw();
};
const setTool = (tool: Tool) => () => (easel.tool = tool);
const guard = (task: () => Promise<void>) => () => void task().catch((error: unknown) => {
  showProblem(error instanceof Error ? error.message : String(error));
});
const choose = (index: number) => session?.choose(index, performance.now());

const commands = {
  finish: () => session?.finish(),
  complete: guard(complete),
  choose1: () => choose(0),
  choose2: () => choose(1),
  choose3: () => choose(2),
  chooseNext: () => session?.choice !== undefined && choose((session.choice + 1) % 3),
  skip: () => session?.skip(),
  remove: () => session?.remove(),
  accept: () => session?.judge("accept"),
  reject: () => session?.judge("reject"),
  acceptAll: () => session?.judgeAll("accept"),
  rejectAll: () => session?.judgeAll("reject"),
  leave: () => {
    if (easel.cancel() || !session?.current) return;
    if (session.current.state === "draft" && session.current.stage !== PREFILLED_STAGE) session.remove();
    else session.select(undefined);
  },
  undo: () => session?.undo(),
  redo: () => session?.redo(),
  point: setTool("point"),
  brush: setTool("brush"),
  eraser: setTool("eraser"),
  smaller: () => easel.resizeBrush(1 / 1.25),
  larger: () => easel.resizeBrush(1.25),
  nextMask: () => panel.step(1),
  previousMask: () => panel.step(-1),
  next: guard(() => openBeside(1)),
  previous: guard(() => openBeside(-1)),
  label: () => find("#label").focus(),
  hide: () => toggle("isHidden"),
  outline: () => toggle("isOutline"),
  colour: () => toggle("hasColours"),
  preview: () => toggle("hasPreview"),
  fit: () => {
    easel.stage.view.fit();
    easel.stage.redraw();
  },
  zoomIn: () => zoomMiddle(1.25),
  zoomOut: () => zoomMiddle(1 / 1.25),
  decoding: () => decoding.toggle(),
  photos: guard(showPhotos),
  statistics: guard(showStatistics),
  person: guard(askName),
  theme: turnTheme,
  help: () => find<HTMLDialogElement>("#help-dialog").showModal(),
};

function listen(): void {
  listenToKeys(commands);
  renderKeys(find("#help-dialog dl"));
  for (const [name, command] of Object.entries(commands)) {
    const button = document.querySelector<HTMLButtonElement>(`button#${name}`);
    button?.addEventListener("click", () => {
      command();
      button.blur(); // Enter means the mask, not the button
    });
  }
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-tool], [data-choice]")) {
    button.addEventListener("click", () => {
      if (button.dataset.tool) easel.tool = button.dataset.tool as Tool;
      else choose(Number(button.dataset.choice));
      button.blur();
    });
  }
  for (const close of document.querySelectorAll<HTMLButtonElement>("[data-close]")) {
    close.addEventListener("click", () => close.closest("dialog")!.close());
  }
  find("#trouble button").addEventListener("click", () => (find("#trouble").hidden = true));
  for (const [kind, isHeld] of [["keydown", true], ["keyup", false]] as const) {
    addEventListener(kind, (event) => {
      if (event.code !== "Space" || event.target instanceof HTMLInputElement || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      easel.navigation.isSpaceHeld = isHeld;
      easel.updateCursor();
    });
  }
  setInterval(() => {
    if (!session || document.hidden) return;
    const { photo, lease } = session;
    post(`/api/photos/${photo.id}/renew`, { lease }).catch((error: unknown) => {
      if (error instanceof Refusal) showProblem(error.message);
    });
  }, RENEW_MS);
  setInterval(() => void showStatus(), STATUS_MS);
  addEventListener("pagehide", (event) => {
    // A page that is loaded again finds its lease in the session's storage; a closed tab lets it run out.
    if (session && event.persisted) postAtParting(`/api/photos/${session.photo.id}/release`, { lease: session.lease });
  });
}

async function start(): Promise<void> {
  const theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  listen();
  showSaving(outbox.length);
  if (!person) await askName();
  find("#person").textContent = person;
  await outbox.flush();
  const saved = JSON.parse(sessionStorage.getItem(OPEN) ?? "null") as { id: number } | null;
  if (saved) {
    try {
      await open(saved.id, true);
      return;
    } catch (error) {
      showProblem(error instanceof Error ? error.message : String(error));
    }
  }
  await openNext();
}

void start();
