// Alerts, who is told of them, and when not: `/v1/alerts`, `/v1/people`, `/v1/mutes`.
import { getJson, path, postJson, remove, sendJson } from "./client";
import { rows } from "./sql";

export type Severity = "info" | "warning" | "critical";
export type State = "raised" | "acknowledged" | "resolved" | "suppressed";

export interface Alert {
  id: string;
  device_id: string;
  rule_id: string;
  /** What the rule is called. */
  rule: string;
  /** 0: raised from outside, by no rule of the server. */
  rule_version: number;
  severity: Severity;
  state: State;
  triggered_at: string;
  raised_at: string;
  acknowledged_at: string | null;
  resolved_at: string | null;
  why: string;
  retrospective: boolean;
  suppressed: number;
  suppressed_by: string | null;
  muted_by: string | null;
}

export interface AlertInFull extends Alert {
  history: { at: string; what: string; who: string | null; remark: string | null }[];
  history_more: number;
  /** Ids of messages, which say to whom and how: [`toldBy`]. */
  told: string[];
  deliveries: Delivery[];
}

export interface Delivery {
  key: string;
  kind: string;
  person: string;
  channel: string;
  address: Address;
  created_at_ms: number;
  attempts: number;
  next_attempt_ms: number;
  outcome: "pending" | "delivered" | "failed" | "moved";
  said?: string;
}

export type Address = { kind: "email" | "sms"; to: string } | { kind: "webhook"; url: string } | { kind: "mqtt"; topic: string };

/** Patterns: `*` stands for any characters, what is absent for all. */
export interface Selection {
  rule?: string;
  device?: string;
  type?: string;
  site?: string;
  tags?: Record<string, string>;
}

export interface Span {
  days?: string[];
  from: string;
  to: string;
  zone: string;
}

export interface Want {
  of?: Selection;
  from?: Severity;
  channels?: string[];
}

export interface Person {
  name: string;
  channels: Record<string, Address>;
  wants?: Want[];
  quiet?: { hours: Span; except_from?: Severity };
  per_hour?: number;
  resolved?: boolean;
}

export interface Mute {
  of?: Selection;
  when: { once: { from_ms: number; to_ms: number } } | { weekly: Span };
  by?: string;
  reason?: string;
}

export type Named<T> = T & { id: string };

export interface Wanted {
  device_id?: string;
  rule?: string;
  /** `open`, or states with commas. */
  state?: string;
  /** From this severity on. */
  severity?: string;
}

export interface Page {
  alerts: Alert[];
  next: string | null;
}

/** The newest first. A page may be empty and still have a next one: the server looks at so many alerts at a time. */
export function alertsPage(wanted: Wanted, limit: number, after: string | undefined, signal: AbortSignal): Promise<Page> {
  return getJson<Page>(path("/v1/alerts", { ...wanted, limit, after }), signal);
}

export function alertInFull(id: string, signal: AbortSignal): Promise<AlertInFull> {
  return getJson<AlertInFull>(`/v1/alerts/${encodeURIComponent(id)}`, signal);
}

export interface OpenCount {
  rule_id: string;
  severity: Severity;
  n: number;
}

/** How many alerts stand open, by rule and severity. */
export function openCounts(signal: AbortSignal): Promise<OpenCount[]> {
  return rows<OpenCount>(
    "SELECT rule_id, severity, count(*) AS n FROM alerts WHERE state IN ('raised', 'acknowledged') GROUP BY rule_id, severity",
    [],
    signal,
  );
}

/** What somebody says with what they do. */
export interface Said {
  by: string;
  remark?: string;
}

export function settle(alert: Alert, what: "ack" | "resolve", said: Said): Promise<Alert> {
  return postJson<Alert>(`/v1/alerts/${encodeURIComponent(alert.id)}/${what}`, said);
}

/** Mutes begin by the server's clock, and the browser's may be ahead of it. */
const AHEAD_MS = 3_600_000;

/** Keeps alerts of the same rule and device from people for a while. */
export function mute(alert: Alert, untilMs: number, said: Said): Promise<Named<Mute>> {
  // Mutes need an id of their own; two people may mute the same at the same moment.
  const chance = crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36);
  const body: Mute = {
    of: { rule: alert.rule_id, device: alert.device_id },
    when: { once: { from_ms: Date.now() - AHEAD_MS, to_ms: untilMs } },
    by: said.by,
    reason: said.remark ?? "",
  };
  return sendJson("PUT", `/v1/mutes/${Date.now().toString(36)}-${chance}`, body);
}

export async function mutes(signal: AbortSignal): Promise<Named<Mute>[]> {
  return (await getJson<{ mutes: Named<Mute>[] }>("/v1/mutes", signal)).mutes;
}

export function unmute(id: string): Promise<void> {
  return remove(`/v1/mutes/${encodeURIComponent(id)}`);
}

export async function people(signal: AbortSignal): Promise<Named<Person>[]> {
  return (await getJson<{ people: Named<Person>[] }>("/v1/people", signal)).people;
}

export function putPerson(id: string, person: Person): Promise<Named<Person>> {
  return sendJson("PUT", `/v1/people/${encodeURIComponent(id)}`, person);
}

export function removePerson(id: string): Promise<void> {
  return remove(`/v1/people/${encodeURIComponent(id)}`);
}

export interface Told {
  person: string;
  how: "single" | "group" | "digest";
}

/** `<alert>.raised.<person>`, `<time>-group.<person>.<number>` or `<time>-digest.<person>.<number>`. */
export function toldBy(message: string): Told {
  const [first = "", second = "", third = ""] = message.split(".");
  if (first.endsWith("-group")) return { person: second, how: "group" };
  return first.endsWith("-digest") ? { person: second, how: "digest" } : { person: third, how: "single" };
}

/** Whoever a rule names is nobody's person: their ids begin so, and there is no page of them. */
export function isPerson(id: string): boolean {
  return !id.startsWith("_");
}

/** Sends a test message now. */
export function tryAddress(address: Address): Promise<{ delivered: boolean; said: string }> {
  return postJson("/v1/alerts/test", address);
}
