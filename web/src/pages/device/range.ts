// Which stretch of time is shown: the last so many minutes, or from one moment to another that was picked.

export const SPANS = [
  ["15m", "15 min"],
  ["1h", "1 h"],
  ["6h", "6 h"],
  ["24h", "24 h"],
  ["7d", "7 d"],
  ["30d", "30 d"],
] as const;

export type Span = (typeof SPANS)[number][0];

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

export function spanMs(span: Span): number {
  return Number(span.slice(0, -1)) * UNIT_MS[span.slice(-1) as keyof typeof UNIT_MS];
}

export interface Stretch {
  from: number;
  to: number;
  /** Set when it goes on with the clock. */
  span: Span | null;
}

export function stretch(params: URLSearchParams, now: number): Stretch {
  const [from, to] = [Number(params.get("from")), Number(params.get("to"))];
  if (from > 0 && to > from) return { from, to, span: null };
  const span = SPANS.find(([name]) => name === params.get("span"))?.[0] ?? "1h";
  return { from: now - spanMs(span), to: now, span };
}

const WIDTHS: [string, number][] = [
  ["1 second", 1000],
  ["10 seconds", 10_000],
  ["1 minute", 60_000],
  ["5 minutes", 300_000],
  ["15 minutes", 900_000],
  ["1 hour", 3_600_000],
  ["6 hours", 21_600_000],
  ["1 day", 86_400_000],
  ["7 days", 604_800_000],
];

/** Width of buckets that gives about 200 of them. */
export function bucket(ms: number): string {
  return (WIDTHS.find(([, width]) => ms / width <= 240) ?? WIDTHS.at(-1)!)[0];
}
