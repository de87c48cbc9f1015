/** What the keys do, and the list of them. */

export interface Commands {
  readonly [name: string]: () => void;
}

interface Key {
  /** As `event.key` has it, lower case; with `shift+` and `ctrl+` before it. */
  readonly keys: readonly string[];
  readonly command: string;
  readonly shown: string;
  readonly meaning: string;
}

export const KEYS: readonly Key[] = [
  { keys: [], command: "", shown: "click", meaning: "Here is the object" },
  { keys: [], command: "", shown: "right or Alt click", meaning: "Here it is not" },
  { keys: [], command: "", shown: "drag", meaning: "A box around the object" },
  { keys: [], command: "", shown: "Shift click", meaning: "Take a mask in hand" },
  { keys: [], command: "", shown: "wheel", meaning: "Zoom; with a brush, its size" },
  { keys: [], command: "", shown: "Space drag", meaning: "Move the photo" },
  { keys: ["enter"], command: "finish", shown: "Enter", meaning: "The mask is done" },
  { keys: ["shift+enter"], command: "complete", shown: "⇧ Enter", meaning: "Nothing more to see; next photo" },
  { keys: ["1"], command: "choose1", shown: "1 2 3", meaning: "Choose one of three masks" },
  { keys: ["2"], command: "choose2", shown: "", meaning: "" },
  { keys: ["3"], command: "choose3", shown: "", meaning: "" },
  { keys: ["tab"], command: "chooseNext", shown: "Tab", meaning: "The next of the three" },
  { keys: ["s"], command: "skip", shown: "S", meaning: "Skip a mask that takes too long" },
  { keys: ["delete", "backspace"], command: "remove", shown: "Del", meaning: "Remove the mask" },
  { keys: ["escape"], command: "leave", shown: "Esc", meaning: "Give up the mask, or put it down" },
  { keys: ["a"], command: "accept", shown: "A", meaning: "Accept the pre-filled mask; the next" },
  { keys: ["x"], command: "reject", shown: "X", meaning: "Reject the pre-filled mask; the next" },
  { keys: ["shift+a"], command: "acceptAll", shown: "⇧ A", meaning: "Accept all that wait" },
  { keys: ["shift+x"], command: "rejectAll", shown: "⇧ X", meaning: "Reject all that wait" },
  { keys: ["z", "ctrl+z"], command: "undo", shown: "Z", meaning: "Undo" },
  { keys: ["y", "shift+z", "ctrl+y", "ctrl+shift+z"], command: "redo", shown: "Y", meaning: "Redo" },
  { keys: ["v"], command: "point", shown: "V", meaning: "Clicks and boxes" },
  { keys: ["b"], command: "brush", shown: "B", meaning: "Brush" },
  { keys: ["e"], command: "eraser", shown: "E", meaning: "Eraser" },
  { keys: ["["], command: "smaller", shown: "[ ]", meaning: "Size of the brush" },
  { keys: ["]"], command: "larger", shown: "", meaning: "" },
  { keys: ["j", "arrowdown"], command: "nextMask", shown: "J ↓", meaning: "Next mask" },
  { keys: ["k", "arrowup"], command: "previousMask", shown: "K ↑", meaning: "Mask before" },
  { keys: ["arrowright"], command: "next", shown: "→", meaning: "Next photo" },
  { keys: ["arrowleft"], command: "previous", shown: "←", meaning: "Photo before" },
  { keys: ["l"], command: "label", shown: "L", meaning: "Label" },
  { keys: ["h"], command: "hide", shown: "H", meaning: "Hide masks" },
  { keys: ["o"], command: "outline", shown: "O", meaning: "Outlines only" },
  { keys: ["c"], command: "colour", shown: "C", meaning: "A colour for each mask" },
  { keys: ["p"], command: "preview", shown: "P", meaning: "Preview under the mouse" },
  { keys: ["d"], command: "decoding", shown: "D", meaning: "Decode in this browser, or on the server" },
  { keys: ["f", "0"], command: "fit", shown: "F", meaning: "The whole photo" },
  { keys: ["+", "="], command: "zoomIn", shown: "+ −", meaning: "Zoom" },
  { keys: ["-"], command: "zoomOut", shown: "", meaning: "" },
  { keys: ["g"], command: "photos", shown: "G", meaning: "All photos" },
  { keys: ["?", "f1"], command: "help", shown: "?", meaning: "These keys" },
];

/** The name of a key with what is held beside it. */
export function nameKey(event: Pick<KeyboardEvent, "key" | "shiftKey" | "ctrlKey" | "metaKey">): string {
  const key = event.key.toLowerCase();
  // What needs Shift to be typed at all is named without it.
  const hasShift = event.shiftKey && (key.length > 1 || /[a-z]/.test(key));
  return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${hasShift ? "shift+" : ""}${key}`;
}

const COMMANDS = new Map(KEYS.flatMap(({ keys, command }) => keys.map((key) => [key, command] as const)));

export function listenToKeys(commands: Commands): void {
  addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const isTyping = target instanceof HTMLInputElement;
    if (document.querySelector("dialog[open]") || event.altKey) return;
    if (isTyping) {
      if (event.key === "Enter" || event.key === "Escape") target.blur();
      return;
    }
    const command = COMMANDS.get(nameKey(event));
    if (!command) return;
    event.preventDefault();
    const isHeld = event.repeat && !["undo", "redo", "smaller", "larger", "zoomIn", "zoomOut"].includes(command);
    if (!isHeld) commands[command]();
  });
}

export function renderKeys(list: HTMLElement): void {
  for (const { shown, meaning } of KEYS) {
    if (!shown) continue;
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.append(...shown.split(" ").length > 1 && /^.{1,2}( .{1,2})+$/.test(shown)
      ? shown.split(" ").flatMap((part) => [key(part), " "])
      : [key(shown)]);
    description.textContent = meaning;
    list.append(term, description);
  }
}

function key(text: string): HTMLElement {
  const made = document.createElement("kbd");
  made.textContent = text;
  return made;
}
