// Asks the person for the access token of the server.

import { setToken } from "./api.js";
import { element } from "./dom.js";

/** @type {Promise<boolean> | null} */
let asking = null;

/**
 * Resolves with true if a token was given. While it asks, it does not ask again.
 * @param {string} reason
 */
export function askForToken(reason) {
  asking ??= ask(reason).finally(() => (asking = null));
  return asking;
}

/** @param {string} reason @returns {Promise<boolean>} */
function ask(reason) {
  const input = element("input", { type: "password", name: "token", autocomplete: "off", required: true });
  const cancel = element("button", { value: "cancel", formNoValidate: true, textContent: "Cancel" });
  const heading = element("h2", { id: "token-heading", textContent: "Access token" });
  const why = element("p", { id: "token-why", className: "quiet", textContent: reason });
  const form = element(
    "form",
    { method: "dialog", className: "stack" },
    heading,
    why,
    element("label", {}, element("span", { textContent: "Token" }), input),
    element("p", { className: "quiet hint", textContent: "It is kept for this tab only. Whoever runs the server has it." }),
    element("div", { className: "row" }, element("button", { className: "primary", value: "ok", textContent: "Continue" }), cancel),
  );
  const dialog = element("dialog", {}, form);
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.setAttribute("aria-describedby", why.id);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const token = input.value.trim();
      const isGiven = dialog.returnValue === "ok" && token !== "";
      if (isGiven) setToken(token);
      dialog.remove();
      resolve(isGiven);
    });
  });
}
