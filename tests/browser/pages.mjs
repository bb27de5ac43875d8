// The pages themselves: that they fit, can be used by keyboard and screen reader, and count who is there.
// Pictures of all of them, live, are left in tests/artifacts to be looked at.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { assertAccessible, tabThrough } from "./accessibility.mjs";
import { closePage, dropPage, inboundVideo, openPage, pause, until } from "./chromium.mjs";
import { ARTIFACTS } from "./server.mjs";
import { script } from "./web.mjs";

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

  test("every page fits and is accessible on phone, tablet and desktop, in light and dark", { timeout: 120_000 }, async () => {
    const publisher = await open(`/publish/studio?${LIVE}`);
    const viewer = await open("/watch/studio");
    const rooms = await open("/");
    const status = await open("/status");
    const pages = [publisher, viewer, rooms, status];
    try {
      await until("a picture", 15_000, async () => (await inboundVideo(viewer))?.framesDecoded > 30);
      await until("the room is listed with its viewer", 10_000, async () =>
        /1 publisher, 1 viewer/.test(await rooms.locator("#rooms").innerText()));
      const named = [["publish", publisher], ["watch", viewer], ["rooms", rooms], ["status", status]];
      await Promise.all(named.map(([name, page]) => photograph(page, name)));
      for (const page of pages) assert.deepEqual(page.errors, []);
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("every page can be used by keyboard, and shows where one is", { timeout: 60_000 }, async () => {
    const check = async (path) => {
      const page = await open(path);
      try {
        await pause(800);
        assert.deepEqual(await tabThrough(page), [], path);
        await page.locator("main").click({ position: { x: 2, y: 2 } });
        await page.keyboard.press("?");
        assert.match(await page.locator("dialog").innerText(), /Keyboard shortcuts/);
        await page.keyboard.press("Escape");
        await page.locator("dialog").waitFor({ state: "detached", timeout: 3_000 });
      } finally {
        await dropPage(page);
      }
    };
    await Promise.all(["/", "/publish/keys", "/watch/keys", "/status"].map(check));
  });

  test("a page that is not accessible, or not reached by keyboard, is found", { timeout: 30_000 }, async () => {
    const page = await open("/");
    try {
      await page.evaluate(() => {
        const nameless = document.createElement("button");
        const unreachable = Object.assign(document.createElement("button"), { id: "unreachable", textContent: "no", tabIndex: -1 });
        document.querySelector("main").append(nameless, unreachable);
      });
      await assert.rejects(assertAccessible(page, "canary"), /button-name/);
      assert.match((await tabThrough(page)).join(), /unreachable is not reached/);
    } finally {
      await dropPage(page);
    }
  });

  test("shortcuts do what their list says, outside of fields only", { timeout: 30_000 }, async () => {
    const publisher = await open("/publish/shortcuts");
    const rooms = await open("/");
    try {
      const pressed = (id) => publisher.locator(id).getAttribute("aria-pressed");
      await until("a microphone", 10_000, () => publisher.locator("#mute").isEnabled());
      for (const [key, id] of [["m", "#mute"], ["c", "#hide"]]) {
        await publisher.keyboard.press(key);
        await until(`${key} switches off`, 3_000, async () => (await pressed(id)) === "true");
        await publisher.keyboard.press(key);
        await until(`${key} switches on`, 5_000, async () => (await pressed(id)) === "false");
      }
      await rooms.keyboard.press("/");
      await rooms.keyboard.type("a?m");
      assert.equal(await rooms.locator("#room").inputValue(), "a?m");
      assert.equal(await rooms.locator("dialog").count(), 0);
    } finally {
      await Promise.all([publisher, rooms].map(dropPage));
    }
  });

  test("a figure explains itself when asked", { timeout: 30_000 }, async () => {
    const page = await open("/status");
    try {
      await page.locator("#board").waitFor({ state: "visible" });
      const about = page.getByRole("button", { name: "About: Busiest shard" });
      assert.equal(await page.locator("#now-load").isVisible(), false);
      await about.press("Enter");
      assert.equal(await about.getAttribute("aria-expanded"), "true");
      assert.match(await page.locator("#now-load").innerText(), /share of one core[^]*Good: below 60/);
    } finally {
      await dropPage(page);
    }
  });

  test("the status moves while media flows", { timeout: 60_000 }, async () => {
    const status = await open("/status");
    const pages = [status, await open(`/publish/moving?${LIVE}`), await open("/watch/moving")];
    try {
      await until("a picture", 15_000, async () => (await inboundVideo(pages[2]))?.framesDecoded > 30);
      const figure = async (key) => Number((await status.locator(`#now .figure:has(#now-${key}) .value`).innerText()).replaceAll(",", ""));
      await until("packets go out", 10_000, async () => (await figure("outPerSecond")) > 20);
      await until("they have a latency, a cost and a train length", 10_000, async () =>
        (await figure("p99")) > 0 && (await figure("cpuPerPacket")) > 0 && (await figure("train")) >= 1);
      const seen = new Set();
      await until("three different numbers of packets", 15_000, async () => seen.add(await figure("inPerSecond")).size >= 3);
      assert.match(await status.locator("#trains-chart svg").getAttribute("aria-label"), /: \d+ %/);
      assert.match(await status.locator("#packets-chart svg").getAttribute("aria-label"), /now in [1-9]/);
      assert.match(await status.locator("#shards tbody").innerText(), /Running[^]*mmsg|Running[^]*uring/);
      assert.equal(await status.locator("#badge").innerText(), "Live");

      await status.locator("#pause").click();
      const still = await status.locator("#about").innerText();
      await pause(1_500);
      assert.equal(await status.locator("#about").innerText(), still);
      assert.equal(await status.locator("#badge").innerText(), "Paused");
    } finally {
      await Promise.all(pages.map(closePage));
    }
  });

  test("every reason of a drop is explained", async () => {
    const { REASONS } = await script("drops.js");
    const status = await (await fetch(`${world.server.url}/api/status`)).json();
    assert.deepEqual(Object.keys(status.shards[0].drops).sort(), Object.keys(REASONS).sort());
  });

  test("links can be copied", { timeout: 30_000 }, async () => {
    const page = await open("/publish/links");
    try {
      await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
      await page.getByRole("button", { name: "Copy WHIP address" }).click();
      await until("it says so", 3_000, async () => /Copied/.test(await page.locator("#links").innerText()));
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${world.server.url}/whip/links`);
    } finally {
      await dropPage(page);
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
      await dropPage(page);
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
      // Neither colours nor names change with the width.
      if (viewport.width === 1440) await assertAccessible(page, `${name} at ${viewport.width}, ${colorScheme}`);
    }
  }
}
