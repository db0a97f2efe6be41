// Rules and what they would have done: `/v1/rules`.
import type { Severity } from "./alerts";
import { getJson, postJson, remove, sendJson } from "./client";

/** A rule as people write it. */
export interface Document {
  name: string;
  when: string;
  for?: string;
  clear_when?: string;
  severity?: Severity;
  scope?: Scope;
  class?: "critical" | "batched";
  notify?: Notify[];
  /** What has no field of its own on the page: `schedule`, `retrospective`, `suppress`, `route`. */
  [key: string]: unknown;
}

export interface Scope {
  type?: string;
  site?: string;
  devices?: string[];
  tags?: Record<string, string>;
}

/** One key, the way, and an address: `{"email": "ops@example.com"}`. */
export type Notify = Record<string, string>;

export type Rule = Document & { id: string; version: number; enabled: boolean };

export interface Episode {
  device_id: string;
  cause: string;
  triggered_at: string;
  resolved_at: string | null;
  why: string;
  suppressed: boolean;
}

export interface Rehearsal {
  devices: number;
  devices_concerned: number;
  readings: number;
  alerts: number;
  suppressed: number;
  /** Start of the hour in milliseconds, and alerts that began in it. */
  by_hour: [number, number][];
  /** The first thousand. */
  episodes: Episode[];
  is_partial: boolean;
}

export interface Trial extends Rehearsal {
  since: string;
  until: string;
  /** The version that was tried beside the one in force. */
  other?: Rehearsal;
  difference?: { both: number; only_before: number; only_after: number; before: Episode[]; after: Episode[] };
}

const at = (id: string) => `/v1/rules/${encodeURIComponent(id)}`;

export async function rules(signal: AbortSignal): Promise<Rule[]> {
  return (await getJson<{ rules: Rule[] }>("/v1/rules", signal)).rules;
}

export function rule(id: string, signal: AbortSignal): Promise<Rule> {
  return getJson<Rule>(at(id), signal);
}

export function keep(id: string | null, document: Document): Promise<Rule> {
  return id === null ? postJson("/v1/rules", document) : sendJson("PUT", at(id), document);
}

export function enable(id: string, enabled: boolean): Promise<Rule> {
  return sendJson("PATCH", at(id), { enabled });
}

export function removeRule(id: string): Promise<void> {
  return remove(at(id));
}

/** What a rule would have done: the one in force, one that is not kept yet, or another version beside the one in force. */
export function dryRun(id: string | null, since: string, document?: Document): Promise<Trial> {
  return postJson(id === null ? "/v1/rules/dry-run" : `${at(id)}/dry-run`, { since, ...(document && { document }) });
}
