// From rows to curves: the first column of times is the axis, columns of numbers are curves, and texts, such as device_id, tell one
// curve from another.
import { type Row, type Table, isTime } from "../../api/sql";
import type { Series } from "../../charts/chart";

export interface Drawable {
  curves: { times: number[]; series: Series[] } | null;
  /** Curves that were too many. */
  left: number;
  /** Why there is no chart. */
  why: string;
}

const MOST = 12;

export function drawable({ columns, rows }: Table): Drawable {
  const none = (why: string): Drawable => ({ curves: null, left: 0, why });
  if (!rows.length) return none("");
  const has = (name: string, is: (row: Row) => boolean) => rows.slice(0, 200).some(is) && name;
  const time = columns.find((name) => rows.slice(0, 200).every((row) => row[name] === null || isTime(row[name])) && has(name, (row) => isTime(row[name])));
  if (!time) return none("No chart: it needs a column of times");
  const numbers = columns.filter((name) => has(name, (row) => typeof row[name] === "number"));
  if (!numbers.length) return none("No chart: it needs a column of numbers");
  const texts = columns.filter((name) => name !== time && has(name, (row) => typeof row[name] === "string" && !isTime(row[name])));

  const curves = new Map<string, Map<number, number | null>>();
  const times = new Set<number>();
  for (const row of rows) {
    const at = Date.parse(String(row[time]));
    if (Number.isNaN(at)) continue;
    times.add(at);
    const who = texts.map((name) => row[name] ?? "–").join(" · ");
    for (const name of numbers) {
      const label = [who, numbers.length > 1 || !who ? name : ""].filter(Boolean).join(" · ");
      let curve = curves.get(label);
      if (!curve) curves.set(label, (curve = new Map()));
      curve.set(at, typeof row[name] === "number" ? (row[name] as number) : null);
    }
  }
  const rising = [...times].sort((a, b) => a - b);
  if (rising.length < 2) return none("No chart: it needs more than one time");
  const series = [...curves].slice(0, MOST).map(([name, curve]) => ({ name, values: rising.map((at) => curve.get(at) ?? null) }));
  return { curves: { times: rising, series }, left: curves.size - series.length, why: "" };
}
