// Requests to /api/v1.
//
// The law: this is the only module that fetches. Numbers arrive exact. What goes wrong is a Problem, with the words the
// server chose; without a sign-in the page leads to where one is got.

import { writeQuery } from "./address.js";
import { parseExact, writeExact } from "./numbers.js";

export const BASE = "/api/v1";
const PATIENCE = 15000;

/** What went wrong: RFC 9457 as the server says it, or `unreachable` and `slow` when it says nothing. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", title, detail, pointer, retry_after: retryAfter, ...rest }) {
    super(detail || title || "the server gave no reason");
    Object.assign(this, { status, code, title, detail, pointer, retryAfter, rest });
  }

  /** Whether the same may succeed later, without anybody doing anything. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let leaving = false;

/** Go to the sign-in page, which says why. */
export function signIn(reason = "ended") {
  if (leaving) return;
  leaving = true;
  location.assign(`/login${writeQuery({ reason })}`);
}

function trouble(status, text) {
  let body = null;
  try {
    body = parseExact(text);
  } catch {
    // not JSON: something between us and the server answered
  }
  if (body && typeof body === "object") return new Problem({ ...body, status });
  return new Problem({ status, code: "unexpected", title: `the server answered ${status}` });
}

/**
 * Ask the server.
 * @param {string} method
 * @param {string} path below /api/v1, parts already encoded
 * @param {{query?: object, body?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the reply's data; null for one without
 * @throws {Problem} whatever goes wrong; an abort by the caller stays an AbortError
 */
export async function request(method, path, { query, body, signal } = {}) {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE);
  const stop = () => patience.abort();
  signal?.addEventListener("abort", stop);
  let response;
  let text;
  try {
    response = await fetch(BASE + path + writeQuery(query), {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
      body: body && writeExact(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: patience.signal,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (patience.signal.aborted) throw new Problem({ code: "slow", title: "the server did not answer in time" });
    throw new Problem({ code: "unreachable", title: "the server cannot be reached" });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  if (response.ok) return text ? parseExact(text) : null;
  if (response.status === 401) signIn();
  throw trouble(response.status, text);
}

export const get = (path, query, signal) => request("GET", path, { query, signal });
export const post = (path, body = {}) => request("POST", path, { body });
export const put = (path, body = {}) => request("PUT", path, { body });
export const remove = (path, query) => request("DELETE", path, { query });

/** Put a value into a path: encoded, so that it is one part of it and no more. */
export function part(value) {
  return encodeURIComponent(value);
}
