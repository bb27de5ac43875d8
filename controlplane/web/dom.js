// Small pieces of page: elements, the numbers list, units, and what the address asks for.

export function byId(id) {
  return document.getElementById(id);
}

/** Makes an element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Shows `[label, text]` pairs in a `<dl>`, touching only what changed, so that it can be read aloud. */
export function showNumbers(list, pairs) {
  if (list.children.length !== pairs.length) {
    list.replaceChildren(
      ...pairs.map(([label]) => element("div", {}, element("dt", { textContent: label }), element("dd"))),
    );
  }
  pairs.forEach(([label, text], index) => {
    const [term, value] = list.children[index].children;
    if (term.textContent !== label) term.textContent = label;
    if (value.textContent !== text) value.textContent = text;
  });
}

export function showBadge(text, tone = "") {
  const badge = byId("badge");
  if (badge.textContent !== text) badge.textContent = text;
  badge.dataset.tone = tone;
}

/** Shows what is wrong and what to check; `advice` null hides it. */
export function showNotice(advice) {
  const notice = byId("notice");
  notice.hidden = !advice;
  if (!advice) return;
  const text = JSON.stringify(advice);
  if (notice.dataset.shown === text) return;
  notice.dataset.shown = text;
  notice.classList.toggle("bad", advice.isBad ?? true);
  const checks = element("ul", {}, ...(advice.checks ?? []).map((check) => element("li", { textContent: check })));
  notice.replaceChildren(
    element("h2", { textContent: advice.title }),
    element("p", { textContent: advice.detail ?? "" }),
    ...(advice.checks?.length ? [checks] : []),
  );
}

export function bitrate(bps) {
  if (bps === null || bps === undefined || Number.isNaN(bps)) return "–";
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

export function milliseconds(seconds) {
  return seconds === null || seconds === undefined ? "–" : `${Math.round(seconds * 1000)} ms`;
}

export function size(width, height) {
  return width && height ? `${width} × ${height}` : "–";
}

export function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
