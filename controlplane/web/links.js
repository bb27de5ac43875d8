// The addresses of a room: for people, and for programs that speak WHIP or WHEP.

import { hasToken } from "./api.js";
import { copyField } from "./copy.js";
import { element } from "./dom.js";

const TOKEN_HINT = "This server asks for its token: the program sends it as a bearer token.";

/** The page that shows `room`. @param {string} room */
export function watchUrl(room) {
  return new URL(`/watch/${encodeURIComponent(room)}`, location.href).href;
}

/** Links for who publishes into `room`. @param {HTMLElement} host @param {string} room */
export function showPublishLinks(host, room) {
  const whip = new URL(`/whip/${encodeURIComponent(room)}`, location.href).href;
  const token = hasToken() ? ` ${TOKEN_HINT} In OBS it stands under "Bearer Token".` : "";
  host.replaceChildren(
    copyField("Watch page", watchUrl(room), hasToken() ? "The token is not a part of the link: viewers are asked for it." : "For everyone who is to see this room."),
    copyField("WHIP address", whip, `For OBS: Settings, Stream, service "WHIP", server: this address.${token}`),
    more(
      "FFmpeg",
      copyField(
        "FFmpeg command",
        `ffmpeg -re -i film.mp4 -c:v libx264 -profile:v baseline -bf 0 -g 30 -c:a libopus -ar 48000 -ac 2 -f whip ${hasToken() ? "-authorization TOKEN " : ""}${whip}`,
        "FFmpeg 8 or later.",
      ),
    ),
  );
}

/** Links for who watches `room`. @param {HTMLElement} host @param {string} room */
export function showWatchLinks(host, room) {
  const whep = new URL(`/whep/${encodeURIComponent(room)}`, location.href).href;
  const token = hasToken() ? ` ${TOKEN_HINT}` : "";
  host.replaceChildren(
    copyField("This page", watchUrl(room), hasToken() ? "The token is not a part of the link." : "For others who are to see this room."),
    copyField("WHEP address", whep, `For players that speak WHEP.${token}`),
  );
}

/** @param {string} title @param {Node} content */
function more(title, content) {
  return element("details", {}, element("summary", { textContent: title }), content);
}
