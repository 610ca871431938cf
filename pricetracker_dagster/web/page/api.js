// Asking the server, and nothing but that: each address is asked for again with the tag of its last answer, and what
// has not changed is the same object as before. What is shown of an answer or a failure belongs to the parts.

const TIMEOUT = 15_000;
const KEPT = 24;

const kept = new Map();

/**
 * Why there is no answer. `kind`: "unreachable" (nothing answers), "unavailable" (a server that says why it has no
 * numbers), "sign-in", "unknown" (404) or "refused".
 */
export class Failure extends Error {
  constructor(kind, message, problem = {}) {
    super(message);
    this.kind = kind;
    this.problem = problem;
  }
}

/** The address of a question; parameters that are null or empty are left out. */
export function url(path, parameters = {}) {
  const told = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(told).toString().replaceAll("%3A", ":");
  return query ? `${path}?${query}` : path;
}

/** Ask for a path under /pricetracker: `{as_of, data}`, the same object where nothing has changed. */
export async function ask(name, parameters = {}, signal = undefined) {
  const address = url(`/pricetracker/${name}`, parameters);
  const before = kept.get(address);
  const response = await get(address, before ? { "If-None-Match": before.tag } : {}, signal);
  if (response.status === 304 && before) return remember(address, before).answer;
  if (!response.ok) throw await failure(response);
  const answer = await body(response);
  const tag = response.headers.get("ETag");
  if (tag) remember(address, { tag, answer });
  return answer;
}

/** Ask how all is: the answer is of use whether its status says well (200) or not (503). */
export async function askHealth() {
  const response = await get("/health", {});
  if (response.status !== 200 && response.status !== 503) throw await failure(response);
  const answer = await body(response);
  if (!Array.isArray(answer.troubles)) throw await failure(response, answer);
  return answer;
}

function remember(address, entry) {
  kept.delete(address);
  kept.set(address, entry);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return entry;
}

async function get(address, headers, signal) {
  const signals = [AbortSignal.timeout(TIMEOUT), ...(signal ? [signal] : [])];
  try {
    return await fetch(address, {
      headers: { Accept: "application/json", ...headers },
      cache: "no-store", // the tag is ours: the browser's own cache would hide whether anything changed
      credentials: "same-origin",
      signal: AbortSignal.any(signals),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(
      "unreachable",
      error.name === "TimeoutError" ? "no answer within 15 s" : "the server does not answer",
    );
  }
}

async function body(response) {
  try {
    return await response.json();
  } catch {
    throw new Failure("unreachable", "the answer broke off");
  }
}

async function failure(response, told = null) {
  let problem = told ?? {};
  if (!told) {
    try {
      problem = await response.json();
    } catch {
      problem = {}; // a proxy's own page
    }
  }
  const kinds = { 401: "sign-in", 403: "sign-in", 404: "unknown" };
  const kind =
    kinds[response.status] ?? (response.status < 500 ? "refused" : problem.detail ? "unavailable" : "unreachable");
  return new Failure(kind, problem.detail ?? problem.title ?? `the server answers ${response.status}`, problem);
}

/** What is said of an answer that there is nothing called so: with what there is. */
export function refusalText(error) {
  const known = error.problem.known?.slice?.(0, 8).join(", ");
  return `${error.message}${known ? `. There is: ${known}` : ""}`;
}
