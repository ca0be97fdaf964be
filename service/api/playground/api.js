// The page asks the same endpoints as any client.

let key = "";

/** Kept for as long as the page is open, and nowhere else. */
export function useKey(value) {
  key = value.trim();
}

export const keyed = () => key !== "";

/** An answer that is an error: its status, the field to blame, and the seconds to wait where it says so. */
export class Refused extends Error {
  constructor(response, problem) {
    super(problem?.message ?? response.statusText);
    this.status = response.status;
    this.field = problem?.field ?? null;
    this.retryAfter = response.headers.get("Retry-After");
  }
}

async function ask(path, init = {}) {
  const headers = { ...init.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refused(response, answer.error);
}

export const get = async (path) => (await ask(path)).json();

export const text = async (path) => (await ask(path)).text();

/** The state that a probe tells, whatever its status. */
export const probe = async (path) => (await fetch(path)).json();

export async function post(path, body, signal) {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  return (await ask(path, init)).json();
}
