import { absolute, ago, between, bytes, coarse, counted, duration, percent, rate, title } from "/static/js/format.js";
import { makeClock } from "/static/js/clock.js";
import { equal, ok, random } from "./check.js";

export const units = {
  "no duration is ever negative": () => {
    const next = random(1);
    for (let i = 0; i < 2000; i++) {
      const seconds = (next() - 0.7) * 10 ** (next() * 9);
      for (const text of [duration(seconds), coarse(seconds), rate(seconds), percent(seconds)]) ok(!/^[-−]|-\d/.test(text), text);
      ok(!/[-−]\d/.test(ago(1e12 - seconds * 1000, 1e12)), ago(1e12 - seconds * 1000, 1e12));
    }
    equal(between("2026-11-26T12:00:01Z", "2026-11-26T12:00:00Z"), 0);
  },
  "durations have one or two units": () => {
    equal(duration(0), "0 s");
    equal(duration(0.0004), "1 ms");
    equal(duration(0.85), "850 ms");
    equal(duration(4.23), "4.2 s");
    equal(duration(59.6), "1 min");
    equal(duration(185), "3 min 5 s");
    equal(duration(3600 * 24 * 2 + 3600 * 4), "2 d 4 h");
    equal(duration(undefined), "–");
  },
  "what is a moment ahead of our clock is now, what is further is the future": () => {
    const now = Date.parse("2026-11-26T12:00:00Z");
    equal(ago("2026-11-26T12:00:01.5Z", now), "now");
    equal(ago("2026-11-26T12:05:00Z", now), "in 5 min");
    equal(ago("2026-11-26T11:00:00Z", now), "1 h ago");
    equal(ago(null, now), "–");
    equal(ago("nonsense", now), "–");
  },
  "an absolute moment names its zone": () => {
    ok(/^2026-11-26 \d\d:\d\d:\d\d UTC/.test(absolute("2026-11-26T12:00:00Z")), absolute("2026-11-26T12:00:00Z"));
    equal(absolute(null), "");
  },
  "a percentage says 100 only of what is done": () => {
    equal(percent(100), "100 %");
    equal(percent(99.99), ">99.9 %");
    equal(percent(0), "0 %");
    equal(percent(0.01), "<0.1 %");
    equal(percent(42.9), "42 %");
    equal(percent(101), "100 %");
  },
  "sizes, rates, counts and names are words for people": () => {
    equal(bytes(1023), "1,023 B");
    equal(bytes(1536), "1.5 KiB");
    equal(bytes(300 * 1024 * 1024), "300 MiB");
    equal(rate(0.25), "0.25/s");
    equal(rate(12.4), "12/s");
    equal(counted(1, "job"), "1 job");
    equal(counted(2000, "job"), "2,000 jobs");
    equal(title("waiting_credential"), "Waiting for credential");
  },
  "the server's clock is believed, and a jump forgets what was known": () => {
    let local = 0;
    const clock = makeClock(() => local);
    clock.note(500);
    equal(clock.now(), 500);
    local = 100;
    clock.note(580); // a later answer that was longer on its way
    equal(clock.now(), 600);
    clock.note(100100);
    equal(clock.now(), 100100);
  },
};
