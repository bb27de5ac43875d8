// The types of the pages, which are comments, are checked by the TypeScript compiler.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const TSC = join(FOLDER, "node_modules/typescript/bin/tsc");

test("the scripts of the pages keep to their types", { timeout: 60_000 }, async () => {
  assert.equal(await check(join(FOLDER, "tsconfig.json")), "");
});

test("a script that does not is found", { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "sluice-types-"));
  try {
    await writeFile(join(folder, "canary.js"), "/** @param {number} ms */\nconst wait = (ms) => ms + 1;\nwait('soon');\n");
    const settings = { extends: join(FOLDER, "tsconfig.json"), include: [join(folder, "canary.js")] };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
    assert.match(await check(join(folder, "tsconfig.json")), /canary\.js\(3,6\): error TS2345/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/** What the compiler has to say. */
async function check(settings) {
  const outcome = await promisify(execFile)(process.execPath, [TSC, "-p", settings]).catch((error) => error);
  return `${outcome.stdout}${outcome.stderr}`.trim();
}
