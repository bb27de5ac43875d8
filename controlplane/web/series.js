// The newest values of a figure, oldest first, no more than there is place for.

export class Series {
  /** @type {(number | null)[]} */
  #values = [];

  /** @param {number} lengthMax */
  constructor(lengthMax) {
    this.lengthMax = lengthMax;
  }

  /** Null stands for a moment without a value: a gap. @param {number | null | undefined} value */
  push(value) {
    this.#values.push(Number.isFinite(value) ? Number(value) : null);
    if (this.#values.length > this.lengthMax) this.#values.shift();
  }

  clear() {
    this.#values = [];
  }

  get values() {
    return this.#values;
  }
}
