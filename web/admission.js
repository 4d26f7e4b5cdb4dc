/** Asking the server for a place before a websocket is opened: a browser shows its page why a POST was refused, not why a websocket was. */

const SESSIONS = "v1/sessions";

/**
 * Ask for a place. `key`: an API key, or "".
 * Returns { token }, good for one websocket, or { error } with the server's own words { code, message, retryable,
 * retry_after_ms } when it refuses, or { alive: false } when nobody answers who knows what that means.
 */
export async function askForPlace(key, patienceMs) {
  try {
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const response = await fetch(SESSIONS, { method: "POST", headers, signal: AbortSignal.timeout(patienceMs) });
    const body = await response.json();
    if (response.ok && typeof body.token === "string") return { token: body.token };
    return typeof body.code === "number" ? { error: body } : { alive: false };
  } catch {
    return { alive: false };
  }
}
