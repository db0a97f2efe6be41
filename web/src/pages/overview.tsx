// How the fleet stands, at a glance.
import { useMemo } from "preact/hooks";

import { openCounts } from "../api/alerts";
import { getJson } from "../api/client";
import { type Metrics, metrics, perSecond } from "../api/prometheus";
import { rows } from "../api/sql";
import { Chart } from "../charts/chart";
import { count, figure, rate, seconds } from "../format";
import { WorldMap } from "../map/map";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { Ago, Choices, Figure, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { useWatched } from "../ui/use-watched";
import { SEVERITIES } from "./alerts/marks";

const SPANS = [
  ["1", "1 h"],
  ["6", "6 h"],
  ["24", "24 h"],
] as const;

interface Minute {
  minute: string;
  accepted: number;
  lost: number;
}

export default function Overview({ params }: PageProps) {
  const hours = SPANS.find(([hours]) => hours === params.get("hours"))?.[0] ?? "1";
  const watched = useWatched(metrics, 5000);
  return (
    <div class="stack">
      <Title>Overview</Title>
      <Counts now={watched.now} before={watched.before} />
      <div class="columns">
        <Panel
          title="Readings per minute"
          aside={<Choices label="Time shown" options={SPANS} value={hours} choose={(hours) => setParams({ hours }, true)} />}
        >
          <Rates hours={Number(hours)} />
        </Panel>
        <Health now={watched.now} before={watched.before} error={watched.error} />
      </div>
      <div class="columns">
        <Panel title="Where devices are" flush aside={<a href={href(["devices"])}>All devices</a>}>
          <WorldMap />
        </Panel>
        <Silent />
      </div>
    </div>
  );
}

function Counts({ now, before }: { now: Metrics | null; before: Metrics | null }) {
  const devices = useAnswer((signal) => rows<{ n: number }>("SELECT count(id) AS n FROM devices", [], signal), [], 15_000);
  const sums = useAnswer(
    (signal) => {
      const midnight = new Date();
      midnight.setHours(0, 0, 0, 0);
      const yesterday = new Date(Math.floor(Date.now() / 60_000) * 60_000 - 86_400_000);
      return rows<{ today: number | null; day: number | null }>(
        `SELECT sum(CASE WHEN minute >= ? THEN stored + late ELSE 0 END) AS today, sum(stored + late) AS day
         FROM ledger WHERE minute >= ?`,
        [midnight.toISOString(), new Date(Math.min(+yesterday, +midnight)).toISOString()],
        signal,
      );
    },
    [],
    10_000,
  );
  const dead = now?.sum("dead_letter_depth");
  const speed = now ? perSecond(now, before, "readings_accepted_total") : undefined;
  return (
    <dl class="figures">
      <Figure name="Devices">{devices.data ? count(devices.data[0]!.n) : "–"}</Figure>
      <Figure name="Readings today">{sums.data ? figure(sums.data[0]?.today ?? 0) : "–"}</Figure>
      <Figure name="Last 24 hours">{sums.data ? figure(sums.data[0]?.day ?? 0) : "–"}</Figure>
      <Figure name="Now">
        {speed === undefined ? "–" : rate(speed)} <small>per second</small>
      </Figure>
      <Figure name="Dead letters" tone={dead ? "warn" : undefined}>
        {dead === undefined ? "–" : count(dead)}
      </Figure>
      <OpenAlerts />
    </dl>
  );
}

/** How many are open, and how many of them how bad. */
function OpenAlerts() {
  const open = useAnswer(openCounts, [], 10_000);
  const of = (severity?: string) =>
    open.data?.filter((one) => !severity || one.severity === severity).reduce((sum, one) => sum + one.n, 0) ?? 0;
  const parts = SEVERITIES.filter((severity) => of(severity) > 0).map((severity, n) => (
    <>
      {n > 0 && ", "}
      {count(of(severity))} {severity}
    </>
  ));
  return (
    <Figure name="Open alerts" tone={of("critical") ? "bad" : of("warning") ? "warn" : undefined} note={parts.length ? parts : undefined}>
      {open.data ? <a href={href(["alerts"], { state: of() ? "open" : null })}>{count(of())}</a> : "–"}
    </Figure>
  );
}

function Rates({ hours }: { hours: number }) {
  const minutes = useAnswer(
    (signal) => {
      const since = new Date(Math.floor(Date.now() / 60_000 - hours * 60) * 60_000);
      return rows<Minute>(
        `SELECT minute, sum(accepted) AS accepted, sum(dead_lettered) AS lost FROM ledger
         WHERE minute >= ? GROUP BY minute ORDER BY minute`,
        [since.toISOString()],
        signal,
      );
    },
    [hours],
    10_000,
  );
  const curve = useMemo(() => minutes.data && filled(minutes.data, hours), [minutes.data, hours]);
  return (
    <Shown of={minutes}>
      {(minutes) =>
        minutes.length === 0 ? (
          <Note title="Nothing arrived in this time">
            Publish to MQTT topic <code>devices/d1/telemetry</code>, or post to <code>/v1/telemetry</code>; it shows here within seconds.
          </Note>
        ) : (
          <Chart
            label="Readings per minute"
            times={curve!.times}
            series={[{ name: "readings", values: curve!.values }]}
            height={210}
            fromZero
          />
        )
      }
    </Shown>
  );
}

/** Minutes in which nothing came are nought; the one that is not over yet is left out. */
function filled(minutes: Minute[], hours: number): { times: number[]; values: number[] } {
  const by = new Map(minutes.map((one) => [Date.parse(one.minute), one.accepted]));
  const end = Math.floor(Date.now() / 60_000) * 60_000;
  const first = Math.max(end - hours * 3_600_000, Math.min(...by.keys()));
  const times: number[] = [];
  for (let at = first; at < end; at += 60_000) times.push(at);
  if (!times.length) times.push(first);
  return { times, values: times.map((at) => by.get(at) ?? 0) };
}

function Health({ now: last, before, error }: { now: Metrics | null; before: Metrics | null; error: Error | undefined }) {
  const ready = useAnswer((signal) => getJson<{ status: string }>("/health/ready", signal), [], 5000);
  // What was good when the server last answered is not known to be so now.
  const now = error ? null : last;
  const lag = now?.sum("reader_lag_records", { reader: "store" });
  const residue = now?.sum("ledger_residue");
  const fsync = now?.quantile("log_fsync_seconds", 0.95, {}, before);
  const lines: [string, string, string][] = [
    ["Node", ready.error?.message ?? ready.data?.status ?? "–", ready.error ? "bad" : ready.data?.status === "ready" ? "good" : ""],
    ["Behind the log", lag === undefined ? "–" : lag === 1 ? "1 record" : `${count(lag)} records`, lag === undefined ? "" : lag > 10_000 ? "warn" : "good"],
    ["Ledger residue", residue === undefined ? "–" : count(residue), residue === undefined ? "" : residue === 0 ? "good" : "bad"],
    ["fsync, 95th percentile", fsync === undefined ? "–" : `≤ ${seconds(fsync)}`, fsync === undefined ? "" : fsync > 0.1 ? "warn" : "good"],
  ];
  return (
    <Panel title="Health" aside={<a href={href(["system"])}>System</a>}>
      {error && error.message !== ready.error?.message && <p class="bad">{error.message}</p>}
      <dl class="facts wide">
        {lines.map(([name, text, tone]) => (
          <>
            <dt>{name}</dt>
            <dd>
              <span class={`dot ${tone}`} />
              {text}
            </dd>
          </>
        ))}
      </dl>
    </Panel>
  );
}

function Silent() {
  const devices = useAnswer(
    (signal) =>
      rows<{ id: string; last_seen: string }>(
        "SELECT id, last_seen FROM devices WHERE last_seen IS NOT NULL ORDER BY last_seen LIMIT 8",
        [],
        signal,
      ),
    [],
    15_000,
  );
  return (
    <Panel title="Silent for longest" flush aside={<a href={href(["devices"], { sort: "silent" })}>More</a>}>
      <Shown of={devices}>
        {(devices) =>
          devices.length === 0 ? (
            <Note title="No device has sent anything yet" />
          ) : (
            <Scroll label="Devices silent for longest">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Device</th>
                    <th scope="col" class="n">
                      Last seen
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {devices.map(({ id, last_seen }) => (
                    <tr key={id}>
                      <td>
                        <a href={href(["devices", id])}>{id}</a>
                      </td>
                      <td class="n">
                        <Ago at={last_seen} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        }
      </Shown>
    </Panel>
  );
}
