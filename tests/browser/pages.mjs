// The pages themselves: that they fit, say what is wrong, and count who is there. Pictures of all of
// them, live, are left in tests/artifacts to be looked at.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { closePage, inboundVideo, openPage, pause, until } from "./chromium.mjs";
import { ARTIFACTS } from "./server.mjs";

const VIEWPORTS = [
  { width: 360, height: 740 },
  { width: 768, height: 1024 },
  { width: 1440, height: 900 },
];
const LIVE = "start=1&resolution=360&simulcast=0&codec=VP8&prefer=maintain-resolution";

export function pageTests(world) {
  const open = (path, options) => openPage(world.browser, `${world.server.url}${path}`, options);

  test("an empty server says how to begin", { timeout: 30_000 }, async () => {
    const page = await open("/");
    try {
      // The rooms of earlier tests close as their pages do.
      await page.locator("#empty").waitFor({ state: "visible", timeout: 20_000 });
      await page.fill("#room", "studio");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/publish/studio");
    } finally {
      await closePage(page);
    }
  });

  test("every page fits on phone, tablet and desktop, in light and dark", { timeout: 120_000 }, async () => {
    const publisher = await open(`/publish/studio?${LIVE}`);
    const viewer = await open("/watch/studio");
    const rooms = await open("/");
    const pages = [publisher, viewer, rooms];
    try {
      await until("a picture", 15_000, async () => (await inboundVideo(viewer))?.framesDecoded > 30);
      await until("the room is listed with its viewer", 10_000, async () =>
        /1 publisher, 1 viewer/.test(await rooms.locator("#rooms").innerText()));
      for (const [name, page] of [["publish", publisher], ["watch", viewer], ["rooms", rooms]]) {
        await photograph(page, name);
        assert.deepEqual(page.errors, []);
      }
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("a denied camera says what to check", { timeout: 30_000 }, async () => {
    const deny = () => {
      navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("denied", "NotAllowedError");
      };
    };
    const page = await open("/publish/denied", { scripts: [deny] });
    try {
      await page.locator("#notice").waitFor({ state: "visible" });
      assert.match(await page.locator("#notice").innerText(), /Permission denied[^]*Allow camera/);
      assert.equal(await page.locator("#start").isDisabled(), true);
      await page.screenshot({ path: join(ARTIFACTS, "publish-denied.png") });
    } finally {
      await closePage(page);
    }
  });

  test("a server that cannot be reached is named, and tried again", { timeout: 30_000 }, async () => {
    const page = await open("/");
    try {
      let tries = 0;
      await page.context().route("**/whep/*", (route) => {
        tries += 1;
        return route.abort();
      });
      await page.goto(`${world.server.url}/watch/nowhere`);
      await page.locator("#notice").waitFor({ state: "visible" });
      assert.match(await page.locator("#notice").innerText(), /Server not reachable/);
      await until("a second try", 5_000, () => tries >= 2);
    } finally {
      await closePage(page);
    }
  });

  test("a path that UDP cannot pass is explained with its addresses", { timeout: 40_000 }, async () => {
    const page = await open("/");
    try {
      // The answer names a port where nobody listens.
      await page.context().route("**/whep/*", async (route) => {
        if (route.request().method() !== "POST") return route.continue();
        const response = await route.fetch();
        const body = (await response.text()).replace(/^(a=candidate:.* )\d+( typ .*)$/gm, "$19$2");
        return route.fulfill({ response, body });
      });
      await page.goto(`${world.server.url}/watch/unreachable`);
      await page.locator("#notice").waitFor({ state: "visible", timeout: 20_000 });
      assert.match(await page.locator("#notice").innerText(), /No media connection[^]*UDP 127\.0\.0\.1:9[^]*firewall/);
    } finally {
      await closePage(page);
    }
  });
}

async function photograph(page, name) {
  for (const viewport of VIEWPORTS) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await pause(300);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${name} is ${width} wide on ${viewport.width}`);
      await page.screenshot({ path: join(ARTIFACTS, `${name}-${viewport.width}-${colorScheme}.png`), fullPage: true });
    }
  }
}
