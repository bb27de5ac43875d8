// Talks HTTP to the server: the access token, problem details (RFC 9457), and the room list.
//
// A token comes from `?token=` once, is kept for this tab only and leaves the address bar, so that a
// copied link does not carry it. Without one, the person is asked when the server answers 401.

const TOKEN_KEY = "sluice-token";

/** An answer that was not a success, in the words of the server. */
export class Problem extends Error {
  constructor(status, body, retryAfterSeconds) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code || "";
    this.title = body.title || "";
    this.detail = this.message;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {}

export function takeTokenFromAddress() {
  const url = new URL(location.href);
  const token = url.searchParams.get("token");
  if (token === null) return;
  setToken(token);
  url.searchParams.delete("token");
  history.replaceState(null, "", url);
}

export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

export function authorization() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The room that the address of this page names. */
export function roomOfPage() {
  return decodeURIComponent(location.pathname.split("/")[2] ?? "");
}

/** One request. Resolves with the response if it is a success; rejects with Problem or Unreachable. */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, {
      cache: "no-store",
      ...options,
      headers: { ...authorization(), ...options.headers },
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Unreachable("The server could not be reached.", { cause });
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

export async function rooms() {
  return (await (await request("/api/rooms")).json()).rooms;
}

/** The live state of one room, or null if nobody is in it. */
export async function room(name) {
  try {
    return await (await request(`/api/rooms/${encodeURIComponent(name)}`)).json();
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** State of the session behind a WHIP or WHEP session URL: `{state, problem?}`. */
export async function session(sessionUrl) {
  const id = new URL(sessionUrl).pathname.split("/").filter(Boolean).pop();
  const response = await request(`/api/sessions/${encodeURIComponent(id)}`);
  return response.status === 204 ? {} : response.json();
}

/** Asks for an access token. Resolves with true if one was given. */
export function askForToken(reason) {
  const dialog = document.createElement("dialog");
  dialog.innerHTML = `
    <form method="dialog" class="stack">
      <h2>Access token</h2>
      <p class="quiet"></p>
      <label><span>Token</span><input type="password" name="token" autocomplete="off" required></label>
      <div class="row"><button class="primary" value="ok">Continue</button>
      <button value="cancel" formnovalidate>Cancel</button></div>
    </form>`;
  dialog.querySelector("p").textContent = reason;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const token = dialog.querySelector("input").value.trim();
      const given = dialog.returnValue === "ok" && token !== "";
      if (given) setToken(token);
      dialog.remove();
      resolve(given);
    });
  });
}

async function problemOf(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfterSeconds = seconds > 0 ? seconds : null;
  const text = await response.text().catch(() => "");
  try {
    return new Problem(response.status, JSON.parse(text), retryAfterSeconds);
  } catch {
    return new Problem(response.status, { title: response.statusText, detail: text.slice(0, 300) }, retryAfterSeconds);
  }
}
