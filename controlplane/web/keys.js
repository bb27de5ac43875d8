// Keyboard shortcuts, and the list of them that "?" shows.

import { byId, element, isForField } from "./dom.js";

/** @typedef {{key: string, does: string, run: () => void}} Shortcut */

/**
 * Makes `shortcuts` work on this page. A single letter is a shortcut outside of fields and dialogs only.
 * @param {Shortcut[]} shortcuts
 */
export function useShortcuts(shortcuts) {
  const open = () => list(shortcuts);
  byId("keys", HTMLElement).addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isForField(event)) return;
    const found = shortcuts.find(({ key }) => key === event.key.toLowerCase());
    if (event.key === "?") open();
    else if (found) found.run();
    else return;
    event.preventDefault();
  });
}

/** @param {Shortcut[]} shortcuts */
function list(shortcuts) {
  const rows = [...shortcuts, { key: "?", does: "This list" }, { key: "Esc", does: "Close a list or a question" }];
  const pairs = rows.map(({ key, does }) =>
    element("div", {}, element("dt", {}, element("kbd", { textContent: key.length > 1 ? key : key.toUpperCase() })), element("dd", { textContent: does })),
  );
  const heading = element("h2", { id: "keys-heading", textContent: "Keyboard shortcuts" });
  const close = element("button", { textContent: "Close", autofocus: true });
  const dialog = element(
    "dialog",
    {},
    element("form", { method: "dialog", className: "stack" }, heading, element("dl", { className: "keys" }, ...pairs), close),
  );
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
