// Firefox with its fake camera and microphone, driven by WebDriver BiDi.

import { networkInterfaces } from "node:os";

import puppeteer from "puppeteer-core";

import { listConnections } from "./chromium.mjs";

const PREFERENCES = {
  "media.navigator.permission.disabled": true,
  "media.navigator.streams.fake": true,
  "media.autoplay.default": 0,
  // Nothing is fetched behind the tests' back.
  "app.update.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "media.gmp-manager.updateEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
};

/** Starts the browser. Resolves with `{openPage(url), close()}`; pages list their connections as in chromium.mjs. */
export async function startFirefox() {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    extraPrefsFirefox: PREFERENCES,
  });
  const openPage = async (url, { scripts = [] } = {}) => {
    const page = await browser.newPage();
    for (const script of [listConnections, ...scripts]) await page.evaluateOnNewDocument(script);
    await page.goto(url, { waitUntil: "domcontentloaded" });
    return page;
  };
  return { openPage, close: () => browser.close() };
}

/** An address of this machine that Firefox has a candidate for: it gathers none on loopback. */
export function hostAddress() {
  const addresses = Object.values(networkInterfaces()).flat();
  const outside = addresses.find((it) => it.family === "IPv4" && !it.internal);
  if (!outside) throw new Error("Firefox needs a network interface besides loopback");
  return outside.address;
}
