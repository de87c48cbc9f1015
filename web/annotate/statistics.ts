/** The page of statistics: how many masks, how long and how many clicks they take, by person, model and stage. */

interface Group {
  readonly name: string;
  readonly masks: number;
  readonly skips: number;
  readonly median_seconds: number | null;
  readonly mean_seconds: number | null;
  readonly clicks: number | null;
  readonly strokes: number | null;
}

export interface Statistics {
  readonly photos: { readonly total: number; readonly finished: number; readonly problems: number; readonly with_masks: number };
  readonly masks: number;
  readonly masks_per_photo: number | null;
  readonly all: Omit<Group, "name">;
  readonly by_person: readonly Group[];
  readonly by_model: readonly Group[];
  readonly by_stage: readonly { readonly name: string; readonly masks: number; readonly share: number }[];
  readonly prefilled: Readonly<Record<"accepted" | "corrected" | "rejected" | "waiting", number>>;
  readonly curve: readonly { readonly masks: number; readonly seconds: number }[];
}

const SVG = "http://www.w3.org/2000/svg";

export function renderStatistics(numbers: Statistics): DocumentFragment {
  const page = document.createDocumentFragment();
  const { photos, all } = numbers;
  page.append(
    tiles([
      ["masks", String(numbers.masks)],
      ["seconds a mask, median", show(all.median_seconds, 1)],
      ["clicks a mask", show(all.clicks, 1)],
      ["masks a photo", show(numbers.masks_per_photo, 1)],
      ["skipped", String(all.skips)],
      ["photos finished", `${photos.finished} / ${photos.total}`],
    ]),
  );
  if (photos.problems) page.append(element("p", `${photos.problems} of the photos cannot be used; the list of photos says why.`));
  if (numbers.curve.length > 1) page.append(element("h3", "Seconds a mask, median, as masks came in"), curve(numbers.curve));
  for (const [title, groups] of [["By person", numbers.by_person], ["By model", numbers.by_model]] as const) {
    if (!groups.length) continue;
    const rows = groups.map((group) => [
      group.name,
      String(group.masks),
      show(group.median_seconds, 1),
      show(group.clicks, 1),
      show(group.strokes, 1),
      String(group.skips),
    ]);
    page.append(element("h3", title), table(["", "masks", "seconds", "clicks", "strokes", "skips"], rows));
  }
  const stages = numbers.by_stage.map((stage) => [stage.name, String(stage.masks), `${(100 * stage.share).toFixed(0)} %`]);
  page.append(element("h3", "By stage"), table(["", "masks", "share"], stages));
  const { waiting, ...decided } = numbers.prefilled;
  const total = Object.values(decided).reduce((sum, count) => sum + count, 0);
  if (total + waiting) {
    const rows = Object.entries(decided).map(([verdict, count]) => [verdict, String(count), share(count, total)]);
    page.append(element("h3", "Pre-filled masks"), table(["", "masks", "share"], [...rows, ["waiting", String(waiting), ""]]));
  }
  return page;
}

function share(count: number, total: number): string {
  return total ? `${((100 * count) / total).toFixed(0)} %` : "–";
}

function show(value: number | null, digits: number): string {
  return value === null ? "–" : value.toFixed(digits);
}

function element(kind: string, text: string): HTMLElement {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function tiles(entries: readonly (readonly [string, string])[]): HTMLElement {
  const box = document.createElement("div");
  box.className = "tiles";
  for (const [name, value] of entries) {
    const tile = document.createElement("div");
    tile.append(element("b", value), element("span", name));
    tile.lastElementChild!.className = "quiet";
    box.append(tile);
  }
  return box;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): HTMLElement {
  const made = document.createElement("table");
  const row = (cells: readonly string[], kind: "th" | "td") => {
    const line = document.createElement("tr");
    line.append(...cells.map((cell) => element(kind, cell)));
    return line;
  };
  made.append(row(head, "th"), ...rows.map((cells) => row(cells, "td")));
  return made;
}

function curve(points: Statistics["curve"]): SVGElement {
  const [width, height, left, bottom, top] = [760, 170, 34, 22, 12];
  const most = Math.max(...points.map((point) => point.seconds), 1);
  const last = points[points.length - 1].masks;
  const x = (masks: number) => left + ((width - left - 12) * masks) / last;
  const y = (seconds: number) => top + (height - top - bottom) * (1 - seconds / most);
  const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Seconds a mask" });
  for (const part of [0, 0.5, 1]) {
    const line = { x1: left, x2: width - 12, y1: y(part * most), y2: y(part * most), stroke: "var(--line)" };
    image.append(svg("line", line), text(left - 6, y(part * most) + 4, (part * most).toFixed(0), "end"));
  }
  image.append(text(width - 12, height - 6, `${last} masks`, "end"));
  const line = points.map((point) => `${x(point.masks)},${y(point.seconds)}`).join(" ");
  image.append(svg("polyline", { points: line, fill: "none", stroke: "var(--accent)", "stroke-width": 2 }));
  for (const point of points) image.append(svg("circle", { cx: x(point.masks), cy: y(point.seconds), r: 3, fill: "var(--accent)" }));
  return image;
}

function svg(kind: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

function text(x: number, y: number, content: string, anchor: string): SVGElement {
  const made = svg("text", { x, y, "text-anchor": anchor, fill: "var(--quiet)", "font-size": 11 });
  made.textContent = content;
  return made;
}
