// Requests to the API that serves this page, with the key if there is one.
import { Store } from "../store";

/** What the server said instead of an answer (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Why the page may not ask. */
export type Refused = "missing" | "wrong" | "forbidden";

const NAME = "penstock.key";

/** Set when the server wants a key, or another one. */
export const refused = new Store<Refused | null>(null);
export const key = new Store<string>(kept());

function kept(): string {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // storage may be forbidden
  }
}

/** Keeps the key for this tab, until it is closed. */
export function setKey(next: string): void {
  try {
    if (next) sessionStorage.setItem(NAME, next);
    else sessionStorage.removeItem(NAME);
  } catch {
    // It holds until the page is left.
  }
  key.set(next);
  refused.set(null);
}

export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const shown = key.get();
  if (shown) headers.set("authorization", `Bearer ${shown}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store" });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer. Is it running, and reachable from here?");
  }
  if (response.ok) return response;
  // A key that was entered meanwhile is not the one that was refused.
  if (shown === key.get() && response.status === 401) refused.set(shown ? "wrong" : "missing");
  if (shown === key.get() && response.status === 403) refused.set("forbidden");
  throw new Problem(response.status, await detail(response));
}

async function detail(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  try {
    const said = (JSON.parse(text) as { detail?: unknown }).detail;
    if (typeof said === "string") return said;
  } catch {
    // A proxy may answer in words of its own.
  }
  return text.slice(0, 300) || `The server answered ${response.status}.`;
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return exact(await (await request(path, { signal: signal ?? null })).text()) as T;
}

export function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return sendJson("POST", path, body, signal);
}

export async function sendJson<T>(method: "POST" | "PUT" | "PATCH", path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { "content-type": "application/json" };
  const init = { method, headers, body: JSON.stringify(body), signal: signal ?? null };
  return exact(await (await request(path, init)).text()) as T;
}

export async function remove(path: string): Promise<void> {
  await request(path, { method: "DELETE" });
}

/** JSON whose integers beyond 2^53 stay what they are, as text: a number of JavaScript would round them. */
export function exact(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const keep = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

/** The address of something with parameters; empty ones are left out. */
export function path(base: string, params: Record<string, string | number | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text ? `${base}?${text}` : base;
}
