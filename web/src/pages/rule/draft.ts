// A rule as the fields of a form, and back.
import type { Severity } from "../../api/alerts";
import type { Document, Notify, Rule, Scope } from "../../api/rules";

export interface Draft {
  name: string;
  when: string;
  hold: string;
  clear_when: string;
  severity: Severity;
  class: "critical" | "batched";
  type: string;
  site: string;
  /** Ids or patterns, with commas. */
  devices: string;
  /** `line=3, hall=north`. */
  tags: string;
  notify: { way: string; address: string }[];
  /** All else, as the members of a JSON object. */
  rest: string;
}

/** Where on the form something is wrong. */
export type Field = "name" | "when" | "for" | "clear_when" | "severity" | "class" | "scope" | "notify" | "rest";

export interface Fault {
  field: Field | null;
  message: string;
  /** In a condition: which line and column, from 1, and the line. */
  place?: { line: number; column: number; text: string };
}

export const WAYS = [
  ["person", "Person", "ann"],
  ["email", "E-mail", "ops@example.com"],
  ["webhook", "Webhook", "https://example.com/hook"],
  ["sms", "SMS", "+4940123456"],
  ["mqtt", "MQTT topic", "alerts/line-3"],
] as const;

export const BLANK: Draft = {
  name: "",
  when: "",
  hold: "",
  clear_when: "",
  severity: "warning",
  class: "critical",
  type: "",
  site: "",
  devices: "",
  tags: "",
  notify: [],
  rest: "",
};

export function draftOf(rule: Rule): Draft {
  const { id: _id, version: _version, enabled: _enabled, name, when, for: hold, clear_when, severity, class: kind, scope = {}, notify, ...others } = rule;
  const fields = scopeFields(scope);
  const fits = JSON.stringify(sorted(scopeOf(fields))) === JSON.stringify(sorted(scope));
  const rest = { ...others, ...(fits ? {} : { scope }) };
  return {
    ...BLANK,
    name,
    when,
    hold: hold ?? "",
    clear_when: clear_when ?? "",
    severity: severity ?? "warning",
    class: kind ?? "critical",
    ...(fits ? fields : {}),
    notify: (notify ?? []).flatMap((one) => Object.entries(one).map(([way, address]) => ({ way, address }))),
    rest: Object.keys(rest).length ? JSON.stringify(rest, null, 2) : "",
  };
}

/** The rule that the fields say, or what is wrong with them before the server is asked. */
export type Written = { document: Document; fault?: undefined } | { document?: undefined; fault: Fault };

export function documentOf(draft: Draft): Written {
  let rest: Record<string, unknown> = {};
  try {
    rest = draft.rest.trim() ? JSON.parse(draft.rest) : {};
  } catch (error) {
    return wrong("rest", `This is no JSON: ${(error as Error).message}`);
  }
  if (typeof rest !== "object" || rest === null || Array.isArray(rest)) return wrong("rest", 'Write an object: {"suppress": "10m"}');
  const odd = draft.tags.split(",").find((tag) => tag.trim() && !/^[^=]+=[^=]+$/.test(tag));
  if (odd) return wrong("scope", `The tag “${odd.trim()}” has no value: write it as line=3`);
  const fields = fieldsOf(draft);
  const twice = Object.keys(rest).find((key) => key in fields);
  if (twice) return wrong("rest", `“${twice}” has a field above: leave it out here`);
  return { document: { ...fields, ...rest } };
}

function wrong(field: Field, message: string): Written {
  return { fault: { field, message } };
}

function fieldsOf(draft: Draft): Document {
  const scope = scopeOf(draft);
  const notify = draft.notify.filter(({ address }) => address.trim()).map(({ way, address }): Notify => ({ [way]: address.trim() }));
  return {
    name: draft.name.trim(),
    when: draft.when,
    ...(draft.hold.trim() && { for: draft.hold.trim() }),
    ...(draft.clear_when.trim() && { clear_when: draft.clear_when }),
    severity: draft.severity,
    class: draft.class,
    ...(Object.keys(scope).length && { scope }),
    ...(notify.length && { notify }),
  };
}

type ScopeFields = Pick<Draft, "type" | "site" | "devices" | "tags">;

function scopeFields(scope: Scope): ScopeFields {
  const tags = Object.entries(scope.tags ?? {}).map(([key, value]) => `${key}=${value}`);
  return { type: scope.type ?? "", site: scope.site ?? "", devices: (scope.devices ?? []).join(", "), tags: tags.join(", ") };
}

function scopeOf({ type, site, devices, tags }: ScopeFields): Scope {
  const list = (text: string) => text.split(",").map((one) => one.trim()).filter(Boolean);
  const pairs = list(tags).map((tag) => tag.split("=", 2).map((part) => part.trim()));
  return {
    ...(type.trim() && { type: type.trim() }),
    ...(site.trim() && { site: site.trim() }),
    ...(list(devices).length && { devices: list(devices) }),
    ...(pairs.length && { tags: Object.fromEntries(pairs) as Record<string, string> }),
  };
}

/** With keys in order, so that the same things read the same. */
function sorted(of: unknown): unknown {
  if (typeof of !== "object" || of === null || Array.isArray(of)) return of;
  return Object.fromEntries(Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, sorted(value)]));
}

const FIELDS: readonly string[] = ["name", "when", "for", "clear_when", "severity", "class", "scope", "notify"];
const OTHERS: readonly string[] = ["schedule", "suppress", "route", "retrospective"];

/** Which field the server's words are about. It shows the place in a condition as a line with a caret under it. */
export function faultOf(words: string): Fault {
  const placed = /^(when|clear_when) at line (\d+), column (\d+): ([\s\S]*?)\n {2}(.*)\n *\^$/.exec(words);
  if (placed) {
    const [, field, line, column, message, text] = placed as unknown as [string, Field, string, string, string, string];
    return { field, message, place: { line: Number(line), column: Number(column), text } };
  }
  // What is no document at all is refused as JSON that does not fit (crates/api/src/problem.rs), with the path to the part.
  const read = /^the body does not fit: (?:([a-z_]+)[^ :]*: )?([\s\S]*?)(?: at line \d+ column \d+)?$/.exec(words);
  const [key, message] = read ? [read[1], read[2]!] : [/^([a-z_]+):? /.exec(words)?.[1], words];
  const unknown = /^unknown field/.test(message);
  const field = unknown || OTHERS.includes(key ?? "") ? "rest" : FIELDS.includes(key ?? "") ? (key as Field) : null;
  return { field, message };
}
