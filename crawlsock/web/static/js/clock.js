// The server's time, as well as it can be known here.
//
// The law: ages are counted by the server's clock, because its moments are. `note` takes what the server said the time
// is; the offset with the least delay on the way is the largest one seen of late. No DOM.

const KEEP = 8;

/** Make a clock over `local`, which returns milliseconds. */
export function makeClock(local = () => Date.now()) {
  let offsets = [];
  return {
    /** Learn that the server's clock showed `moment` when it answered. */
    note(moment) {
      const at = typeof moment === "number" ? moment : Date.parse(moment);
      if (Number.isNaN(at)) return;
      const offset = at - local();
      // A jump of one of the two clocks: what was known before is worth nothing.
      if (offsets.length && Math.abs(offset - Math.max(...offsets)) > 5000) offsets = [];
      offsets = [...offsets.slice(1 - KEEP), offset];
    },
    /** Milliseconds now, by the server's clock. */
    now() {
      return local() + (offsets.length ? Math.max(...offsets) : 0);
    },
  };
}

export const serverClock = makeClock();
