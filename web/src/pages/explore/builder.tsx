// Metrics picked from lists, and the statement that asks for them.
import { useState } from "preact/hooks";

import { quoted, rows } from "../../api/sql";
import { Alarm, Choices, Panel } from "../../ui/parts";
import { useAnswer, useRested } from "../../ui/use-answer";
import { SPANS, type Span, bucket, spanMs } from "../device/range";

/** Metrics offered at a time; more are found by typing. */
const OFFERED = 200;

const AGGREGATES = [
  ["avg", "Average"],
  ["min", "Minimum"],
  ["max", "Maximum"],
  ["sum", "Sum"],
  ["count", "Count"],
] as const;

/** Curves in one chart: more colours cannot be told apart. */
const CURVES = 12;

type Aggregate = (typeof AGGREGATES)[number][0];

export function Builder({ device, ask }: { device: string; ask: (statement: string) => void }) {
  const [devices, setDevices] = useState(device);
  const [metric, setMetric] = useState("");
  const [span, setSpan] = useState<Span>("1h");
  const [aggregate, setAggregate] = useState<Aggregate>("avg");
  const [each, setEach] = useState(true);
  const typed = useRested(metric.trim());
  const one = useRested(devices.trim());
  const offered = useAnswer((signal) => names(one, typed, signal), [one, typed]);

  const enter = (event: Event) => {
    event.preventDefault();
    ask(statement(devices, metric.trim(), span, aggregate, each, !offered.error));
  };
  return (
    <Panel title="Curves of a metric">
      <form class="stack" onSubmit={enter}>
        <div class="bar">
          <label class="field">
            <span>Metric</span>
            <input type="text" list="metrics" required placeholder="temperature" value={metric} onInput={(event) => setMetric(event.currentTarget.value)} />
          </label>
          <datalist id="metrics">
            {offered.data?.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          <label class="field">
            <span>Devices, with commas; none: {each ? `the ${CURVES} heard last` : "all"}</span>
            <input type="text" placeholder="pump-1, pump-2" value={devices} onInput={(event) => setDevices(event.currentTarget.value)} />
          </label>
          <label class="field">
            <span>Of each bucket of time</span>
            <select value={aggregate} onChange={(event) => setAggregate(event.currentTarget.value as Aggregate)}>
              {AGGREGATES.map(([name, title]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            <span>Curves</span>
            <select value={each ? "each" : "all"} onChange={(event) => setEach(event.currentTarget.value === "each")}>
              <option value="each">One for each device</option>
              <option value="all">One for all together</option>
            </select>
          </label>
        </div>
        <div class="bar">
          <Choices label="Time shown" options={SPANS} value={span} choose={setSpan} />
          <button class="button main" type="submit">
            Draw
          </button>
          <span class="muted">It becomes a statement, which you can go on with under “Write SQL”.</span>
        </div>
        {offered.error && <Alarm>{offered.error.message}</Alarm>}
      </form>
    </Panel>
  );
}

/** Metrics that exist: of one device where one is named, else of a few that sent last. */
async function names(device: string, typed: string, signal: AbortSignal): Promise<string[]> {
  const last = () => rows<{ id: string }>("SELECT id FROM devices ORDER BY last_seen DESC NULLS LAST LIMIT 50", [], signal);
  const of = device && !device.includes(",") ? [device] : (await last()).map(({ id }) => id);
  if (!of.length) return [];
  // Names that stand in the statement are all that the store reads.
  const found = await rows<{ metric: string }>(
    `SELECT DISTINCT metric FROM latest WHERE device_id IN (${of.map(quoted).join(", ")}) AND strpos(lower(metric), ?) > 0 ORDER BY metric LIMIT ${OFFERED}`,
    [typed.toLowerCase()],
    signal,
  );
  return found.map(({ metric }) => metric);
}

/** `latest`: whether the store has that table; one of kind sqlite has not. */
function statement(devices: string, metric: string, span: Span, aggregate: Aggregate, each: boolean, latest: boolean): string {
  const ms = spanMs(span);
  const named = devices.split(",").map((name) => name.trim()).filter(Boolean);
  const key = each ? "device_id, " : "";
  const where = [`metric = ${quoted(metric)}`, `time >= now() - INTERVAL '${ms / 60_000} minutes'`];
  if (named.length) where.push(`device_id IN (${named.map(quoted).join(", ")})`);
  else if (each) {
    // Of those that have the metric: in a mixed fleet who was heard last may not.
    const heard = latest
      ? `SELECT device_id FROM latest WHERE metric = ${quoted(metric)} ORDER BY time DESC, device_id`
      : "SELECT id FROM devices ORDER BY last_seen DESC NULLS LAST, id";
    where.push(`device_id IN (${heard} LIMIT ${CURVES})`);
  }
  return `SELECT time_bucket('${bucket(ms)}', time) AS time, ${key}${aggregate}(value) AS ${quotedName(`${aggregate} of ${metric}`)}
FROM telemetry
WHERE ${where.join("\n  AND ")}
GROUP BY ${each ? "1, 2" : "1"}
ORDER BY 1`;
}

function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
