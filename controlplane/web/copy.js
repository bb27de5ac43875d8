// A link or a command that can be copied.

import { element, icon, setIcon } from "./dom.js";

const SAID_MS = 2_000;

/**
 * A labelled text with a button that copies it.
 * @param {string} label
 * @param {string} text
 * @param {string} [hint]
 */
export function copyField(label, text, hint) {
  const field = element("input", { type: "text", value: text, readOnly: true });
  field.addEventListener("focus", () => field.select());
  const parts = [
    element("label", { className: "grow" }, element("span", { textContent: label }), field),
    copyButton(text, `Copy ${label}`, () => field.select()),
  ];
  const made = element("div", { className: "copy" }, ...parts);
  if (hint) made.append(element("p", { className: "quiet hint", textContent: hint }));
  return made;
}

/**
 * @param {string} text
 * @param {string} name for screen readers
 * @param {() => void} [select] makes copying by hand easy where the browser forbids it here
 * @param {string} [shown]
 */
export function copyButton(text, name, select, shown = "Copy") {
  const said = element("span", { textContent: shown });
  const button = element("button", { type: "button", className: "copy-button", ariaLabel: name }, icon("copy"), said);
  const announced = element("span", { className: "visually-hidden", role: "status" });
  button.addEventListener("click", async () => {
    const isCopied = await copy(text);
    if (!isCopied) select?.();
    said.textContent = isCopied ? "Copied" : "Press Ctrl+C";
    announced.textContent = isCopied ? "Copied" : "Press Control and C to copy";
    setIcon(button, isCopied ? "check" : "copy");
    setTimeout(() => {
      said.textContent = shown;
      announced.textContent = "";
      setIcon(button, "copy");
    }, SAID_MS);
  });
  return element("span", { className: "copy-place" }, button, announced);
}

/** Browsers let a page write the clipboard over HTTPS and on localhost only. @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
