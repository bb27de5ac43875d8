// A script of the pages that knows no page, for tests without a browser.

import { readFile } from "node:fs/promises";

const WEB = new URL("../../controlplane/web/", import.meta.url);

/** The exports of `name`, which must import nothing. */
export async function script(name) {
  const text = await readFile(new URL(name, WEB), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}
