// Numbers, times and sizes for people. Times are shown by the browser's clock and zone; the exact one is in the title.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "2-digit" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function count(n: number): string {
  return whole.format(n);
}

/** 12 345, then 1.2M: for figures that must fit. */
export function figure(n: number): string {
  return Math.abs(n) < 100_000 ? (Number.isInteger(n) ? whole.format(n) : rate(n)) : short.format(n);
}

export function rate(n: number): string {
  if (n >= 100) return whole.format(n);
  return n.toLocaleString(undefined, { maximumFractionDigits: n >= 10 ? 1 : 2 });
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n: number): string {
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

/** A duration in seconds: `0.41 ms`, `12 s`, `3 h 20 min`. */
export function seconds(s: number): string {
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${(s * 1e3).toFixed(s < 0.01 ? 2 : s < 0.1 ? 1 : 0)} ms`;
  if (s < 120) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.round((s % 86_400) / 3600)} h`;
}

export function ago(ms: number, now = Date.now()): string {
  const s = Math.round((now - ms) / 1000);
  if (s < -1) return `in ${seconds(-s)}`;
  if (s < 2) return "now";
  return s < 60 ? `${s} s ago` : `${seconds(s)} ago`;
}

export function time(ms: number): string {
  const date = new Date(ms);
  return new Date().toDateString() === date.toDateString() ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

export function timeWithMillis(ms: number): string {
  return `${clock.format(ms)}.${String(new Date(ms).getMilliseconds()).padStart(3, "0")}`;
}

/** A value of a reading or of a cell, as text. */
export function value(v: unknown): string {
  if (v === null || v === undefined) return "–";
  if (typeof v === "number") return number(v);
  if (typeof v === "object") {
    const at = v as { lat?: number; lng?: number };
    if (typeof at.lat === "number" && typeof at.lng === "number") return `${at.lat.toFixed(5)}, ${at.lng.toFixed(5)}`;
    return JSON.stringify(v);
  }
  return String(v);
}

function number(n: number): string {
  if (Number.isInteger(n)) return Math.abs(n) < 1e15 ? whole.format(n) : String(n);
  return Number(n.toPrecision(7)).toLocaleString(undefined, { maximumSignificantDigits: 7 });
}
