// What can be checked of accessibility by a machine: the rules of axe-core, and that the Tab key reaches
// everything that can be used and shows where it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = ["serious", "critical"];
const TABS_MAX = 150;

/** Fails with every serious or critical finding of axe-core. */
export async function assertAccessible(page, where) {
  await page.evaluate(AXE);
  const findings = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, where: nodes.map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`) }));
  });
  const grave = findings.filter(({ impact }) => GRAVE.includes(impact));
  assert.deepEqual(grave, [], `${where}: ${JSON.stringify(grave, null, 1)}`);
}

/** Presses Tab until all is round. Resolves with what was not reached, or was without an outline. */
export async function tabThrough(page) {
  await page.evaluate(() => document.body.focus());
  const wanted = await page.evaluate(() => {
    const all = document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']");
    const usable = [...all].filter((node) => !node.disabled && node.checkVisibility({ visibilityProperty: true }));
    usable.forEach((node, index) => (node.dataset.tab = `${index}: ${node.id || node.textContent.trim() || node.tagName}`));
    return usable.map((node) => node.dataset.tab);
  });
  const reached = new Set();
  const hidden = [];
  for (let tab = 0; tab < TABS_MAX && reached.size < wanted.length; tab += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return { name: document.activeElement.dataset.tab, isShown: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    });
    if (focused.name === undefined) continue;
    // Round once: what was not reached by now is not reached.
    if (focused.name === [...reached][0] && reached.size > 1) break;
    if (!focused.isShown) hidden.push(`${focused.name} has no outline`);
    reached.add(focused.name);
  }
  return [...wanted.filter((name) => !reached.has(name)).map((name) => `${name} is not reached`), ...hidden];
}
