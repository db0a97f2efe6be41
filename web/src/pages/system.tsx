// How the node works inside, from its own figures. It is the whole node, of all tenants together.
import { useState } from "preact/hooks";

import { type Metrics, metrics, perSecond } from "../api/prometheus";
import { Chart } from "../charts/chart";
import { bytes, count, figure, rate, seconds } from "../format";
import type { PageProps } from "../pages";
import { Alarm, Figure, Panel, Scroll, Title } from "../ui/parts";
import { useWatched } from "../ui/use-watched";
import { All } from "./system/all";

const EVERY_MS = 3000;

type Looks = { now: Metrics; before: Metrics | null };

export default function System(_: PageProps) {
  const { now, before, past, error } = useWatched(metrics, EVERY_MS);
  if (!now) {
    return (
      <div class="stack">
        <Title>System</Title>
        {error ? <Alarm>{error.message}</Alarm> : <p class="note">Loading …</p>}
      </div>
    );
  }
  const looks = { now, before };
  return (
    <div class="stack">
      <Title aside={<span class="muted">the whole node, of all tenants</span>}>System</Title>
      {error && <Alarm>{error.message}. What is shown is from {new Date(now.at).toLocaleTimeString()}.</Alarm>}
      <Node {...looks} />
      <div class="halves">
        <Panel title="Readings per second, since this page was opened">
          <Curve past={past} name="readings_accepted_total" says="accepted" />
        </Panel>
        <Panel title="Records the store is behind the log">
          <Lagging past={past} />
        </Panel>
      </div>
      <div class="halves">
        <Stages {...looks} />
        <Latencies {...looks} />
        <Disk {...looks} />
        <Connections {...looks} />
      </div>
      <All now={now} />
    </div>
  );
}

function Node({ now }: Looks) {
  const lag = now.all("reader_lag_records").filter((sample) => sample.labels["reader"] === "store");
  const worst = Math.max(0, ...lag.map((sample) => sample.value));
  const age = now.sum("checkpoint_age_seconds");
  const residue = now.sum("ledger_residue");
  return (
    <dl class="figures">
      <Figure name="Node" tone={now.sum("ready") ? "good" : "bad"} note={`version ${now.all("build_info")[0]?.labels["version"] ?? "?"}`}>
        {now.sum("ready") ? "ready" : "not ready"}
      </Figure>
      <Figure name="Up for">{seconds(now.sum("uptime_seconds") ?? 0)}</Figure>
      <Figure name="Memory">{bytes(now.sum("process_resident_memory_bytes") ?? 0)}</Figure>
      <Figure name="Behind the log" note={`worst partition ${count(worst)}`}>
        {figure(lag.reduce((sum, sample) => sum + sample.value, 0))}
      </Figure>
      <Figure name="Checkpoint age">{age === undefined ? "–" : seconds(age)}</Figure>
      <Figure name="Ledger residue" tone={residue ? "bad" : undefined}>
        {residue === undefined ? "–" : count(residue)}
      </Figure>
    </dl>
  );
}

function Curve({ past, name, says }: { past: Metrics[]; name: string; says: string }) {
  const points = past.slice(1).map((now, n) => [now.at, perSecond(now, past[n]!, name) ?? null] as const);
  if (points.length < 2) return <p class="muted">A curve needs a few seconds.</p>;
  return <Chart label={`${says} per second`} times={points.map(([at]) => at)} series={[{ name: says, values: points.map(([, v]) => v) }]} height={150} fromZero />;
}

function Lagging({ past }: { past: Metrics[] }) {
  if (past.length < 2) return <p class="muted">A curve needs a few seconds.</p>;
  const values = past.map((now) => now.sum("reader_lag_records", { reader: "store" }) ?? null);
  return <Chart label="Records behind" times={past.map((now) => now.at)} series={[{ name: "behind", values }]} height={150} fromZero />;
}

const STAGES: [string, string][] = [
  ["log_appended_records_total", "Records made durable"],
  ["stream_records_total", "Records taken by the stream"],
  ["readings_accepted_total", "Readings accepted"],
  ["readings_stored_total", "stored"],
  ["readings_duplicate_total", "duplicate"],
  ["readings_corrected_total", "corrected"],
  ["readings_late_total", "late"],
  ["dead_letters_total", "dead-lettered"],
  ["windows_published_total", "Results of windows"],
];

function Stages({ now, before }: Looks) {
  return (
    <Panel title="Stages" flush>
      <Scroll label="Stages">
        <table>
          <thead>
            <tr>
              <th scope="col">Of this process</th>
              <th scope="col" class="n">
                Per second
              </th>
              <th scope="col" class="n">
                Since its start
              </th>
            </tr>
          </thead>
          <tbody>
            {STAGES.map(([name, title]) => (
              <tr key={name}>
                <td>{title}</td>
                <td class="n">{shownRate(perSecond(now, before, name))}</td>
                <td class="n">{count(now.sum(name) ?? 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function shownRate(n: number | undefined): string {
  return n === undefined ? "–" : rate(n);
}

const PROTOCOLS: [string, string][] = [
  ["mqtt", "MQTT"],
  ["http", "HTTP"],
  ["influx", "Line protocol"],
];

function Latencies({ now }: Looks) {
  const quantile = (name: string, q: number, labels: Record<string, string> = {}) => {
    const s = now.quantile(name, q, labels);
    return s === undefined ? "–" : `≤ ${seconds(s)}`;
  };
  const lines: [string, string, Record<string, string>][] = [
    ...PROTOCOLS.map(([protocol, title]): [string, string, Record<string, string>] => [`Acknowledged, ${title}`, "ack_seconds", { protocol }]),
    ["fsync of the log", "log_fsync_seconds", {}],
  ];
  const [writes, took] = [now.sum("store_writes_total") ?? 0, now.sum("store_write_seconds_total") ?? 0];
  const [points, pointsTook] = [now.sum("checkpoints_total") ?? 0, now.sum("checkpoint_seconds_total") ?? 0];
  return (
    <Panel title="Latencies since the start" flush>
      <Scroll label="Latencies">
        <table>
          <thead>
            <tr>
              <th scope="col">From, to</th>
              {["50 %", "95 %", "99 %"].map((name) => (
                <th scope="col" class="n" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.map(([title, name, labels]) => (
              <tr key={title}>
                <td class="folds">{title}</td>
                {[0.5, 0.95, 0.99].map((q) => (
                  <td class="n" key={q}>
                    {quantile(name, q, labels)}
                  </td>
                ))}
              </tr>
            ))}
            <tr>
              <td>Commit of the store, mean</td>
              <td class="n" colSpan={3}>
                {writes ? `${seconds(took / writes)} of ${count(writes)}` : "–"}
              </td>
            </tr>
            <tr>
              <td>Checkpoint, mean</td>
              <td class="n" colSpan={3}>
                {points ? `${seconds(pointsTook / points)} of ${count(points)}` : "–"}
              </td>
            </tr>
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function Disk({ now, before }: Looks) {
  const hits = now.sum("query_cache_hits_total") ?? 0;
  const misses = now.sum("query_cache_misses_total") ?? 0;
  const lines: [string, string, string?][] = [
    ["Log on disk", `${bytes(now.sum("log_disk_bytes") ?? 0)} in ${count(now.sum("log_segments") ?? 0)} segments`],
    ["Written to the log", `${bytes(perSecond(now, before, "log_written_bytes_total") ?? 0)} per second`],
    ["Waiting to be durable", bytes(now.sum("log_waiting_bytes") ?? 0)],
    ["Writes and fsyncs that failed", count(now.sum("log_disk_errors_total") ?? 0), now.sum("log_disk_errors_total") ? "bad" : undefined],
    ["Store writes tried again", count(now.sum("store_retries_total") ?? 0), now.sum("store_retries_total") ? "warn" : undefined],
    ["State of the stream", bytes(now.sum("stream_state_bytes") ?? 0)],
    ["Kept answers", `${bytes(now.sum("query_cache_bytes") ?? 0)}, ${hits + misses ? Math.round((100 * hits) / (hits + misses)) : 0} % of questions`],
    ["Records lost by the log", count(now.sum("records_lost_total") ?? 0), now.sum("records_lost_total") ? "bad" : undefined],
  ];
  return (
    <Panel title="Disk and memory">
      <Lines lines={lines} />
    </Panel>
  );
}

function Connections({ now, before }: Looks) {
  const [more, setMore] = useState(false);
  const nonzero = (name: string, label: string) => now.all(name).filter((sample) => more || sample.value > 0).map((sample): [string, string, string?] => [sample.labels[label] ?? "", count(sample.value), sample.value ? "warn" : undefined]);
  const shed = nonzero("shed_total", "reason").map(([reason, n, tone]): [string, string, string?] => [`Shed: ${reason}`, n, tone]);
  const refusals = nonzero("admission_refused_total", "reason").map(([reason, n, tone]): [string, string, string?] => [`Refused: ${reason}`, n, tone]);
  const lines: [string, string, string?][] = [
    ...now.all("connections").map((sample): [string, string] => [`Connections, ${sample.labels["protocol"] ?? ""}`, count(sample.value)]),
    ["Connects", `${shownRate(perSecond(now, before, "connects_total"))} per second`],
    ["Reconnects", `${shownRate(perSecond(now, before, "reconnects_total"))} per second`],
    ["Sessions away", count(now.sum("sessions_away") ?? 0)],
    ["Messages that wait for sessions", count(now.sum("queued_messages") ?? 0)],
    ["Subscriptions", count(now.sum("subscriptions") ?? 0)],
    ...refusals,
    ...shed,
  ];
  return (
    <Panel
      title="Connections"
      aside={
        <button class="button plain" type="button" aria-pressed={more} onClick={() => setMore(!more)}>
          {more ? "Without what is nought" : "All reasons"}
        </button>
      }
    >
      <Lines lines={lines} />
    </Panel>
  );
}

function Lines({ lines }: { lines: [string, string, string?][] }) {
  return (
    <dl class="facts wide">
      {lines.map(([name, text, tone]) => (
        <>
          <dt>{name}</dt>
          <dd class={tone}>{text}</dd>
        </>
      ))}
    </dl>
  );
}
