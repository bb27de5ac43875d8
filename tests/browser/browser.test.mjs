// The browser tests, one after another: the machine that measures is the machine that is measured.

import { mkdirSync } from "node:fs";
import { after, before } from "node:test";

import { startBrowser } from "./chromium.mjs";
import { codecTests } from "./codecs.mjs";
import { layerTests } from "./layers.mjs";
import { mediaTests } from "./media.mjs";
import { pageTests } from "./pages.mjs";
import { ARTIFACTS, startOnMmsg, startOnUring } from "./server.mjs";
import { stateTests } from "./states.mjs";

const world = {};

before(async () => {
  mkdirSync(ARTIFACTS, { recursive: true });
  world.server = await startOnUring();
  world.onMmsg = await startOnMmsg();
  Object.assign(world, await startBrowser());
});

after(async () => {
  await world.close?.();
  await Promise.all([world.server?.stop(), world.onMmsg?.stop()]);
});

mediaTests(world);
codecTests(world);
layerTests(world);
pageTests(world);
stateTests(world);
