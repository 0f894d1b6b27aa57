// Equality for the units: by value, with BigInt, and a message that shows both.

const show = (value) =>
  JSON.stringify(value, (key, each) => (typeof each === "bigint" ? `${each}n` : each === undefined ? "undefined" : each));

/** Throw unless both are the same value. */
export function equal(found, wanted, about = "") {
  if (show(found) !== show(wanted)) throw new Error(`${about} found ${show(found)}, wanted ${show(wanted)}`);
}

/** Throw unless it is so. */
export function ok(found, about) {
  if (!found) throw new Error(about);
}

/** Make the same pseudo-random numbers for the same seed. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
