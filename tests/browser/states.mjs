// What the pages say when something is wrong, and that they find back by themselves.

import assert from "node:assert/strict";
import { test } from "node:test";

import { assertAccessible } from "./accessibility.mjs";
import { closePage, dropPage, openPage, until } from "./chromium.mjs";
import { startServer } from "./server.mjs";

const TOKEN = "0123456789abcdef";

export function stateTests(world) {
  const open = (path, options) => openPage(world.browser, `${world.server.url}${path}`, options);

  test("without a camera and a microphone the page says so, and a screen can still be shared", { timeout: 30_000 }, async () => {
    const page = await open("/publish/bare", { scripts: [noDevices] });
    try {
      await page.locator("#notice").waitFor({ state: "visible" });
      assert.match(await page.locator("#notice").innerText(), /No such device[^]*plugged in/);
      assert.match(await page.locator("#camera").innerText(), /No camera found/);
      assert.equal(await page.locator("#start").isDisabled(), true);
      assert.equal(await page.locator("#share").isEnabled(), true);
      await assertAccessible(page, "no device");
    } finally {
      await dropPage(page);
    }
  });

  test("a page that did not come over HTTPS says why there is no camera", { timeout: 30_000 }, async () => {
    const page = await open("/publish/plain", { scripts: [insecure] });
    try {
      assert.match(await page.locator("#notice").innerText(), /needs HTTPS[^]*SLUICE_TLS/);
    } finally {
      await dropPage(page);
    }
  });

  test("a wrong token is asked for again, on every page", { timeout: 60_000 }, async () => {
    const server = await startServer({ SLUICE_AUTH: `token:${TOKEN}` });
    try {
      const check = async (path) => {
        const page = await openPage(world.browser, `${server.url}${path}?token=wrong`);
        try {
          await page.locator("dialog").waitFor({ state: "visible", timeout: 10_000 });
          assert.equal(new URL(page.url()).search, "", "the token stands in the address");
          assert.match(await page.locator("dialog").innerText(), /The token was wrong/);
          await page.keyboard.press("Escape");
          await page.locator("dialog").waitFor({ state: "detached" });
          assert.match(await page.locator("#notice").innerText(), /Wrong access token/);
          await page.getByRole("button", { name: "Enter the token" }).click();
          await page.keyboard.type(TOKEN);
          await page.keyboard.press("Enter");
          await page.locator("#notice").waitFor({ state: "hidden", timeout: 10_000 });
        } finally {
          await dropPage(page);
        }
      };
      await Promise.all(["/", "/watch/a", "/status"].map(check));
    } finally {
      await server.stop();
    }
  });

  test("a full room is named, and entered when somebody leaves", { timeout: 60_000 }, async () => {
    const server = await startServer({ SLUICE_SUBSCRIBERS_PER_ROOM_MAX: "1" });
    const first = await openPage(world.browser, `${server.url}/watch/small`);
    try {
      await until("one is in", 10_000, async () => /Waiting/.test(await first.locator("#badge").innerText()));
      const second = await openPage(world.browser, `${server.url}/watch/small`);
      await second.locator("#notice").waitFor({ state: "visible", timeout: 10_000 });
      assert.match(await second.locator("#notice").innerText(), /The room is full[^]*Trying again in \d+ s/);
      await closePage(first);
      await second.getByRole("button", { name: "Try now" }).click();
      await until("the other is in", 15_000, async () => /Waiting/.test(await second.locator("#badge").innerText()));
      await closePage(second);
    } finally {
      await closePage(first);
      await server.stop();
    }
  });

  test("pages outlive their server and find it again", { timeout: 90_000 }, async () => {
    let server = await startServer();
    const paths = ["/", "/watch/gone", "/status"];
    const pages = await Promise.all(paths.map((path) => openPage(world.browser, `${server.url}${path}`)));
    const [rooms, viewer, status] = pages;
    try {
      await until("all are connected", 15_000, async () =>
        /Waiting/.test(await viewer.locator("#badge").innerText()) && /Live/.test(await status.locator("#badge").innerText()));
      await server.stop();
      for (const page of pages) {
        await until("the page says so and counts down", 15_000, async () =>
          /Server not reachable[^]*Trying again (in \d+ s|now)/.test(await page.locator("#notice").innerText()));
      }
      assert.equal(await status.locator("#badge").innerText(), "Disconnected");
      await until("the figures have an age", 5_000, async () => /Figures are \d+ s old/.test(await status.locator("#age").innerText()));
      await assertAccessible(status, "disconnected");

      server = await startServer({}, server.port);
      for (const page of pages) {
        const again = page.getByRole("button", { name: "Try now" });
        if (await again.isVisible()) await again.click({ timeout: 1_000 }).catch(() => {});
        await page.locator("#notice").waitFor({ state: "hidden", timeout: 20_000 });
      }
      await until("the status is live", 5_000, async () => /Live/.test(await status.locator("#badge").innerText()));
      await until("the viewer is back", 15_000, async () => /gone/.test(await rooms.locator("#rooms").innerText()));
    } finally {
      await Promise.all(pages.map(dropPage));
      await server.stop();
    }
  });
}

/** Runs in the page: a machine without camera and microphone. */
function noDevices() {
  navigator.mediaDevices.getUserMedia = async () => {
    throw new DOMException("none", "NotFoundError");
  };
  navigator.mediaDevices.enumerateDevices = async () => [];
}

/** Runs in the page: what browsers take away from a page that came over plain HTTP. */
function insecure() {
  Object.defineProperty(window, "isSecureContext", { value: false });
  Object.defineProperty(navigator, "mediaDevices", { value: undefined });
}
