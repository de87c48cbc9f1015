import { expect, test } from "vitest";
import { KEYS, nameKey } from "./keys";

const held = { shiftKey: false, ctrlKey: false, metaKey: false };

test("keys have names of their own", () => {
  const names = KEYS.flatMap((key) => key.keys);
  expect(new Set(names).size).toBe(names.length);
});

test.each([
  [{ key: "Z" , shiftKey: true }, "shift+z"],
  [{ key: "z", metaKey: true }, "ctrl+z"],
  [{ key: "?", shiftKey: true }, "?"],
  [{ key: "Enter", shiftKey: true }, "shift+enter"],
])("%j is %s", (event, name) => expect(nameKey({ ...held, ...event })).toBe(name));
