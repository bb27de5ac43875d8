// Asks again and again: at a steady pace while it is answered, with a growing pause while it is not.

const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MS_MAX = 15_000;
/** A page that nobody looks at asks this many times less often. */
const HIDDEN_FACTOR = 5;

/**
 * @template T
 * @param {object} plan
 * @param {number} plan.everyMs
 * @param {() => Promise<T>} plan.ask
 * @param {(answer: T) => void} plan.onAnswer
 * @param {(error: unknown, tryAgainAt: number) => void | Promise<void>} plan.onError `tryAgainAt` is of `performance.now()`
 * @returns {{now: () => void, pause: (isPaused: boolean) => void}} asks at once; stops and goes on
 */
export function poll({ everyMs, ask, onAnswer, onError }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let failures = 0;
  let isAsking = false;
  let isPaused = false;
  const later = (/** @type {number} */ ms) => {
    clearTimeout(timer);
    if (!isPaused) timer = setTimeout(once, ms);
  };
  async function once() {
    if (isAsking) return;
    isAsking = true;
    try {
      const answer = await ask();
      failures = 0;
      isAsking = false;
      later(document.hidden ? everyMs * HIDDEN_FACTOR : everyMs);
      onAnswer(answer);
    } catch (error) {
      isAsking = false;
      failures += 1;
      const ms = Math.min(BACKOFF_FIRST_MS * 2 ** (failures - 1), BACKOFF_MS_MAX);
      later(ms);
      await onError(error, performance.now() + ms);
    }
  }
  addEventListener("online", () => later(0));
  document.addEventListener("visibilitychange", () => !document.hidden && later(0));
  once();
  return {
    now: () => later(0),
    pause: (paused) => {
      isPaused = paused;
      later(0);
      if (paused) clearTimeout(timer);
    },
  };
}
