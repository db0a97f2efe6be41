import { useEffect, useState } from "preact/hooks";

import { getJson, path } from "../../api/client";
import { sql } from "../../api/sql";
import { Chart } from "../../charts/chart";
import { time, value } from "../../format";
import { setParams } from "../../router";
import { Choices, Note, Panel, Scroll, Shown } from "../../ui/parts";
import { useAnswer } from "../../ui/use-answer";
import { SPANS, type Stretch, bucket, stretch } from "./range";

/** As many points as a chart has pixels; the server keeps the ones that make the curve's shape. */
const POINTS = 1200;

/** Readings in the table below the curves. */
const LISTED = 200;

const SHOWN = [
  ["curve", "Every extreme"],
  ["avg", "Average"],
  ["min", "Minimum"],
  ["max", "Maximum"],
] as const;

interface Points {
  points: [number, number | boolean | null][];
  resolution: string;
}

export function Curves({ id, metrics, params }: { id: string; metrics: string[]; params: URLSearchParams }) {
  const now = useNow(params.has("from") ? null : 5000);
  const shown = stretch(params, now);
  const how = SHOWN.find(([name]) => name === params.get("show"))?.[0] ?? "curve";
  const pick = (from: number, to: number) => setParams({ from, to, span: null });
  const wider = () => {
    const half = (shown.to - shown.from) / 2;
    const to = Math.min(shown.to + half, Date.now());
    setParams({ from: Math.floor(to - 4 * half), to: Math.ceil(to), span: null });
  };
  return (
    <Panel
      title={shown.span ? "Curves" : `${time(shown.from)} to ${time(shown.to)}`}
      aside={
        <div class="bar">
          <select aria-label="What is drawn" value={how} onChange={(event) => setParams({ show: event.currentTarget.value }, true)}>
            {SHOWN.map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
          <Choices label="Time shown" options={SPANS} value={shown.span} choose={(span) => setParams({ span, from: null, to: null })} />
          <button class="button" type="button" onClick={wider}>
            Wider
          </button>
        </div>
      }
    >
      {metrics.length === 0 && <Note title="No curve chosen">Tick metrics under “Latest values”. Texts and locations have no curve.</Note>}
      {metrics.map((metric) => (
        <Curve key={metric} id={id} metric={metric} shown={shown} how={how} pick={pick} />
      ))}
      {metrics.length > 0 && (
        <>
          <p class="muted">Drag over a curve to look closer, down to single readings; the browser's Back leads out again.</p>
          <Raw id={id} metrics={metrics} shown={shown} />
        </>
      )}
    </Panel>
  );
}

/** The time now, which goes on; `null`: it stands still. */
function useNow(everyMs: number | null): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    if (everyMs === null) return;
    set(Date.now());
    const timer = setInterval(() => document.visibilityState === "visible" && set(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

interface CurveProps {
  id: string;
  metric: string;
  shown: Stretch;
  how: string;
  pick: (from: number, to: number) => void;
}

function Curve({ id, metric, shown, how, pick }: CurveProps) {
  const { from, to } = shown;
  const buckets = how === "curve" ? {} : { every: bucket(to - from), agg: how };
  const found = useAnswer(
    (signal) =>
      getJson<Points>(path("/v1/query", { device_id: id, metric, start: iso(from), end: iso(to), max_points: POINTS, ...buckets }), signal),
    [id, metric, from, to, how],
  );
  return (
    <figure class="chart">
      <figcaption>
        <strong>{metric}</strong>
        <span class="muted">{found.data && said(found.data)}</span>
      </figcaption>
      <Shown of={found}>
        {({ points, resolution }) =>
          points.length === 0 ? (
            <div class="empty">No reading of {metric} in this time. “Wider” doubles it.</div>
          ) : (
            <Chart
              label={`${metric} of ${id}`}
              times={points.map(([ms]) => ms)}
              series={[{ name: metric, values: points.map(([, v]) => (v === null ? null : Number(v))) }]}
              range={[from, to]}
              height={170}
              group="device"
              points={resolution === "raw" && points.length < 150}
              picked={pick}
            />
          )
        }
      </Shown>
    </figure>
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function said({ points, resolution }: Points): string {
  if (resolution === "raw") return `every reading, ${points.length}`;
  if (resolution.startsWith("extremes/")) {
    const ms = Number.parseInt(resolution.slice(9), 10);
    return `extremes of each ${ms < 1000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`}`;
  }
  return resolution.replace("/", " of each ");
}

function Raw({ id, metrics, shown }: { id: string; metrics: string[]; shown: Stretch }) {
  const [open, setOpen] = useState(false);
  // It stands still while it is read, though the curves go on.
  const [held, hold] = useState(shown);
  useEffect(() => {
    if (!shown.span) hold(shown);
  }, [shown.from, shown.to]);
  const readings = useAnswer(
    (signal) =>
      open
        ? sql(
            `SELECT time, metric, value, text, arrived_at, clock, seq FROM telemetry
             WHERE device_id = ? AND metric IN (${metrics.map(() => "?").join(", ")}) AND time >= ? AND time <= ?
             ORDER BY time DESC LIMIT ${LISTED}`,
            [id, ...metrics, iso(held.from), iso(held.to)],
            signal,
          )
        : Promise.resolve({ columns: [], rows: [] }),
    [open, id, metrics.join(), held],
  );
  const toggle = () => {
    hold(shown);
    setOpen(!open);
  };
  return (
    <>
      <button class="button plain" type="button" aria-expanded={open} onClick={toggle}>
        {open ? "Hide the readings" : "Show the readings"}
      </button>
      {open && (
        <Shown of={readings}>
          {({ rows }) => (
            <Scroll label="Readings" tall>
              <table>
                <thead>
                  <tr>
                    <th scope="col">Time</th>
                    <th scope="col">Metric</th>
                    <th scope="col" class="n">
                      Value
                    </th>
                    <th scope="col">Arrived</th>
                    <th scope="col">Clock</th>
                    <th scope="col" class="n">
                      Number
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row, n) => (
                    <tr key={n}>
                      <td class="mono">{String(row["time"])}</td>
                      <td>{String(row["metric"])}</td>
                      <td class="n">{value(row["value"] ?? row["text"])}</td>
                      <td class="mono">{String(row["arrived_at"])}</td>
                      <td>{String(row["clock"])}</td>
                      <td class="n">{value(row["seq"])}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {rows.length === LISTED && <p class="note">The latest {LISTED}; look closer for the others, or take them as CSV in Explore.</p>}
            </Scroll>
          )}
        </Shown>
      )}
    </>
  );
}
