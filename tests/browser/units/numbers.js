import { exact, larger, parseExact, plus, share, short, total, writeExact } from "/static/js/numbers.js";
import { equal, ok, random } from "./check.js";

const BIG = "9223372036854775807";

export const units = {
  "a whole number beyond 2^53 keeps every digit, both ways of parsing": () => {
    for (const bySource of [true, false]) {
      for (const digits of [BIG, `-${BIG}`, "9007199254740993", "18446744073709551615"]) {
        const read = parseExact(`{"n":[${digits}]}`, bySource);
        equal(read.n[0], BigInt(digits), `by source ${bySource}`);
        equal(writeExact(read), `{"n":[${digits}]}`);
      }
    }
  },
  "what a double holds stays a number, and digits inside strings stay text": () => {
    for (const bySource of [true, false]) {
      const read = parseExact(`{"a":9007199254740991,"b":1e300,"c":"${BIG}","d":"\\"${BIG}","e":1.5}`, bySource);
      equal(read, { a: 9007199254740991, b: 1e300, c: BIG, d: `"${BIG}`, e: 1.5 });
      equal(typeof read.a, "number");
    }
  },
  "both ways of parsing agree on documents of every shape": () => {
    const next = random(7);
    const make = (depth) => {
      const kind = Math.floor(next() * (depth > 3 ? 4 : 6));
      if (kind === 0) return String(BigInt(Math.floor(next() * 2 ** 50)) * BigInt(Math.floor(next() * 2 ** 20)));
      if (kind === 1) return JSON.stringify(`${Math.floor(next() * 1e17)}\\"${"1".repeat(18)} ,:[]{}`);
      if (kind === 2) return String(next() * 10 ** Math.floor(next() * 40 - 20));
      if (kind === 3) return ["true", "false", "null", '""', "-0"][Math.floor(next() * 5)];
      const many = Array.from({ length: Math.floor(next() * 4) }, () => make(depth + 1));
      return kind === 4 ? `[${many}]` : `{${many.map((each, i) => `"${"9".repeat(17)}${i}": ${each}`)}}`;
    };
    for (let i = 0; i < 500; i++) {
      const text = make(0);
      equal(parseExact(text, false), parseExact(text, true), text);
    }
  },
  "a text that is no JSON is refused": () => {
    for (const text of ["", "{", "12345678901234567890x", "nope"]) {
      let refused = false;
      try {
        parseExact(text);
      } catch {
        refused = true;
      }
      ok(refused, `took ${JSON.stringify(text)}`);
    }
  },
  "a number is written with all its digits, in groups of three": () => {
    equal(exact(0), "0");
    equal(exact(1234567), "1,234,567");
    equal(exact(BigInt(BIG)), "9,223,372,036,854,775,807");
    equal(exact(-1000), "-1,000");
    equal(exact(undefined), "–");
    equal(exact(NaN), "–");
  },
  "a short number never says more than there is": () => {
    equal(short(9999), "9,999");
    equal(short(999999), "999k");
    equal(short(1000000), "1M");
    equal(short(1999999), "1.99M");
    equal(short(BigInt(BIG)), "9223P");
  },
  "sums are exact across 2^53": () => {
    equal(plus(9007199254740991, 2), 9007199254740993n);
    equal(total([9007199254740991, 9007199254740991, 1]), 18014398509481983n);
    equal(total([]), 0);
    equal(larger(2, 10n), 10n);
  },
  "a share is between nothing and all, and is not made up": () => {
    equal(share(5, 10), 0.5);
    equal(share(20, 10), 1);
    equal(share(-1, 10), 0);
    equal(share(1, 0), null);
    equal(share(undefined, 3), null);
  },
};
