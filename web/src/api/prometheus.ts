// The text of /metrics (Prometheus exposition format 0.0.4), read.
import { request } from "./client";

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export class Metrics {
  private byName = new Map<string, Sample[]>();
  readonly at = Date.now();

  constructor(readonly samples: Sample[]) {
    for (const sample of samples) {
      const list = this.byName.get(sample.name);
      if (list) list.push(sample);
      else this.byName.set(sample.name, [sample]);
    }
  }

  /** All samples of a name, which is given without its prefix. */
  all(name: string): Sample[] {
    return this.byName.get(`penstock_${name}`) ?? [];
  }

  /** The sum of those that have these labels; `undefined` when there is none. */
  sum(name: string, labels: Record<string, string> = {}): number | undefined {
    const found = this.all(name).filter((sample) => has(sample, labels));
    return found.length ? found.reduce((sum, sample) => sum + sample.value, 0) : undefined;
  }

  /** An upper bound of what the share `q` of a histogram's observations took, of those since `before`. */
  quantile(name: string, q: number, labels: Record<string, string> = {}, before?: Metrics | null): number | undefined {
    const buckets = this.buckets(name, labels);
    const old = before?.buckets(name, labels);
    const counted = buckets.map(([le, n], i) => [le, n - (old?.[i]?.[1] ?? 0)] as const);
    const all = counted.at(-1)?.[1] ?? 0;
    if (all <= 0) return undefined;
    const [le] = counted.find(([, n]) => n >= q * all) ?? [Infinity];
    return Number.isFinite(le) ? le : counted.at(-2)?.[0];
  }

  private buckets(name: string, labels: Record<string, string>): [number, number][] {
    const sums = new Map<number, number>();
    for (const sample of this.all(`${name}_bucket`)) {
      if (!has(sample, labels)) continue;
      const le = sample.labels["le"] === "+Inf" ? Infinity : Number(sample.labels["le"]);
      sums.set(le, (sums.get(le) ?? 0) + sample.value);
    }
    return [...sums].sort(([a], [b]) => a - b);
  }
}

function has(sample: Sample, labels: Record<string, string>): boolean {
  return Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED: Record<string, string> = { n: "\n", '"': '"', "\\": "\\" };

export function parse(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name!] = value!.replace(/\\(.)/g, (_, c: string) => ESCAPED[c] ?? c);
    }
    const value = found[3] === "+Inf" ? Infinity : Number(found[3]);
    samples.push({ name: found[1]!, labels, value });
  }
  return samples;
}

export async function metrics(signal?: AbortSignal): Promise<Metrics> {
  return new Metrics(parse(await (await request("/metrics", { signal: signal ?? null })).text()));
}

/** How much a counter grew per second between two looks. */
export function perSecond(now: Metrics, before: Metrics | null, name: string, labels: Record<string, string> = {}): number | undefined {
  const [a, b] = [before?.sum(name, labels), now.sum(name, labels)];
  // A counter that is smaller than before has begun anew: the server was started again.
  if (!before || a === undefined || b === undefined || b < a || now.at <= before.at) return undefined;
  return ((b - a) * 1000) / (now.at - before.at);
}
