import { address, jobPage, list, pattern, readQuery, writeQuery } from "/static/js/address.js";
import { pieces, visible } from "/static/js/plain.js";
import { control, controlAll, jobs, line, quote } from "/static/js/commands.js";
import { equal, ok, random } from "./check.js";

const NASTY = ["<b>&", "a b+c%20", "ü/\\?#", "\u202egnp", "👩‍👩‍👧", "'\"`$(x)", "=,&;", "__proto__"];

export const units = {
  "what is written into an address is read out of it again": () => {
    for (const value of NASTY) {
      equal(readQuery(writeQuery({ search: value, type: "x" })), { search: value, type: "x" });
    }
    equal(writeQuery({ a: "", b: null, c: undefined, d: [], e: false }), "");
    equal(address("/jobs", { states: ["failed", "queued"] }), "/jobs?states=failed,queued");
    equal(list("a,,b"), ["a", "b"]);
  },
  "a path names its parts, and a broken one names nothing": () => {
    for (const value of NASTY) {
      const match = pattern("/jobs/:job_id")(jobPage(value));
      equal(match, { job_id: value });
    }
    equal(pattern("/jobs/:job_id")("/jobs/a/b"), null);
    equal(pattern("/jobs/:job_id")("/jobs/%E0%A4%A"), null);
  },
  "characters that would not show are marked, and nothing is lost": () => {
    equal(visible("a\u202eb"), "a⟨RLO⟩b");
    equal(visible("a\nb", true), "a\nb");
    equal(visible("a\nb"), "a⟨LF⟩b");
    equal(visible("👩‍👩‍👧"), "👩‍👩‍👧");
    const next = random(3);
    for (let i = 0; i < 500; i++) {
      const text = String.fromCodePoint(...Array.from({ length: 8 }, () => Math.floor(next() * 0x3100)));
      ok(!/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(visible(text)), JSON.stringify(text));
      const whole = pieces(text).map((piece) => (typeof piece === "string" ? piece : String.fromCodePoint(parseInt(piece.code.slice(2), 16))));
      equal(whole.join(""), text);
    }
  },
  "every part of a filter is an option, and nothing else is": () => {
    const filter = { states: ["failed", "queued"], type: "crawl_user", search: "a b", error: "ab12", crawler_id: "c;d" };
    equal(jobs(filter), "crawlsock jobs --state failed --state queued --type crawl_user --search 'a b' --error ab12 --crawler 'c;d'");
    equal(controlAll("retry", { states: ["failed"] }), "crawlsock retry --all --state failed");
    equal(controlAll("cancel", {}, "it's late"), "crawlsock cancel --all --reason 'it'\\''s late'");
  },
  "a word in a command line is one word to a shell": () => {
    equal(quote("plain-1.2"), "plain-1.2");
    equal(quote("it's"), "'it'\\''s'");
    equal(quote(""), "''");
    equal(quote("$(rm -rf ~)"), "'$(rm -rf ~)'");
    ok(!quote("a\nb").includes("\n"), "a line feed stayed");
    equal(line("crawlsock", undefined, ["--x", "y z"], false), "crawlsock --x 'y z'");
    equal(control("cancel", "abc", { tree: true, reason: "no more" }), "crawlsock cancel abc --tree --reason 'no more'");
  },
};
