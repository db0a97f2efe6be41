// A person as the fields of a form, and back.
import type { Address, Named, Person, Severity, Want } from "../../api/alerts";
import { zone } from "../../format";

export type Kind = Address["kind"];

export interface Draft {
  id: string;
  name: string;
  channels: { name: string; kind: Kind; address: string }[];
  /** From which severity on; `none`: only escalations; `json`: as `wants` says. */
  from: Severity | "none" | "json";
  wants: string;
  isQuiet: boolean;
  quiet: { from: string; to: string; zone: string; days: string[]; except: Severity };
  perHour: string;
  resolved: boolean;
}

export const KINDS = [
  ["email", "E-mail", "ann@example.com"],
  ["webhook", "Webhook", "https://example.com/hook"],
  ["sms", "SMS", "+4940123456"],
  ["mqtt", "MQTT topic", "alerts/ann"],
] as const;

export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

export const BLANK: Draft = {
  id: "",
  name: "",
  channels: [{ name: "mail", kind: "email", address: "" }],
  from: "warning",
  wants: "",
  isQuiet: false,
  quiet: { from: "22:00", to: "07:00", zone, days: [], except: "critical" },
  perHour: "",
  resolved: true,
};

export function draftOf(person: Named<Person>): Draft {
  const { quiet, wants = [{}] } = person;
  const from = plain(wants);
  return {
    id: person.id,
    name: person.name,
    channels: Object.entries(person.channels).map(([name, address]) => ({ name, kind: address.kind, address: textOf(address) })),
    from,
    wants: from === "json" ? JSON.stringify(wants, null, 2) : "",
    isQuiet: Boolean(quiet),
    quiet: quiet ? { ...quiet.hours, days: quiet.hours.days ?? [], except: quiet.except_from ?? "critical" } : BLANK.quiet,
    perHour: person.per_hour === undefined ? "" : String(person.per_hour),
    resolved: person.resolved ?? true,
  };
}

/** Wants that the form has a choice for; others are written as JSON. */
function plain(wants: Want[]): Draft["from"] {
  if (!wants.length) return "none";
  const [{ of = {}, from = "warning", channels = [] }] = wants as [Want];
  return wants.length === 1 && !Object.keys(of).length && !channels.length ? from : "json";
}

/** The person that the fields say.
 *
 * Fails with what is wrong, where the server need not be asked. */
export function personOf(draft: Draft): Person {
  const channels = draft.channels.filter(({ address }) => address.trim());
  const twice = channels.find(({ name }, n) => channels.findIndex((one) => one.name === name) !== n);
  if (twice) throw new Error(`Two ways are called “${twice.name}”: give them names of their own.`);
  const { days, except, ...hours } = draft.quiet;
  return {
    name: draft.name.trim(),
    channels: Object.fromEntries(channels.map(({ name, kind, address }) => [name, addressOf(kind, address)])),
    wants: wantsOf(draft),
    ...(draft.isQuiet && { quiet: { hours: { ...hours, ...(days.length && { days }) }, except_from: except } }),
    ...(draft.perHour.trim() && { per_hour: Number(draft.perHour) }),
    resolved: draft.resolved,
  };
}

function wantsOf({ from, wants }: Draft): Want[] {
  if (from === "none") return [];
  if (from !== "json") return [{ from }];
  try {
    return JSON.parse(wants) as Want[];
  } catch (error) {
    throw new Error(`What they want to hear of is no JSON: ${(error as Error).message}`);
  }
}

export function addressOf(kind: Kind, text: string): Address {
  const address = text.trim();
  switch (kind) {
    case "webhook":
      return { kind, url: address };
    case "mqtt":
      return { kind, topic: address };
    default:
      return { kind, to: address };
  }
}

function textOf(address: Address): string {
  return address.kind === "webhook" ? address.url : address.kind === "mqtt" ? address.topic : address.to;
}

/** An id for a name: `Ann Lee` is `ann-lee`. */
export function idOf(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);
}
