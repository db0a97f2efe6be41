// A curve over time, by uPlot. Dragging over it picks a range; a second click gives the former one back.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { time, value } from "../format";
import { useStore } from "../store";
import { colour, shown } from "../theme";

export interface Series {
  name: string;
  /** One value for each time; `null` where there is none. */
  values: (number | null)[];
}

export interface ChartProps {
  /** What it shows, for who does not see it. */
  label: string;
  /** Milliseconds, rising. */
  times: number[];
  series: Series[];
  height?: number;
  /** The ends of the axis; else what the data has. */
  range?: [number, number] | null;
  /** Called with the ends of the range that was picked. */
  picked?: (from: number, to: number) => void;
  /** Charts of one group show the same moment. */
  group?: string;
  bars?: boolean;
  /** Shows each point: what is drawn is all there is. */
  points?: boolean;
  fromZero?: boolean;
  /** The axis of values reaches at least so high: for charts that are compared. */
  top?: number;
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const now = useRef(props);
  now.current = props;
  const theme = useStore(shown);
  const { times, series, height = 200, range } = props;
  const shape = `${series.map((one) => one.name).join("\n")}|${props.bars}|${props.points}|${height}|${theme}`;

  useLayoutEffect(() => {
    const element = box.current!;
    const width = () => Math.max(element.clientWidth, 120);
    const made = new uPlot(options(now, width(), height), data(now.current), element);
    chart.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: width(), height }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [shape]);

  useEffect(() => {
    chart.current?.setData(data(now.current));
  }, [times, series, range?.[0], range?.[1]]);

  return <div class="plot" ref={box} role="img" aria-label={`${props.label}. ${described(props)}`} />;
}

function data({ times, series }: ChartProps): uPlot.AlignedData {
  return [times.map((ms) => ms / 1000), ...series.map((one) => one.values)] as uPlot.AlignedData;
}

function described({ times, series }: ChartProps): string {
  const parts = series.map(({ name, values }) => {
    const there = values.filter((v): v is number => v !== null);
    if (!there.length) return `${name}: nothing`;
    const [low, high] = there.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    return `${name}: from ${value(low)} to ${value(high)}, last ${value(there.at(-1))}`;
  });
  const span = times.length ? `${time(times[0]!)} to ${time(times.at(-1)!)}. ` : "";
  return span + parts.slice(0, 6).join("; ");
}

function options(props: { current: ChartProps }, width: number, height: number): uPlot.Options {
  const { series, bars, points, group, fromZero } = props.current;
  const axis = { stroke: colour("muted"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const line = (one: Series, n: number): uPlot.Series => {
    const stroke = colour(`series-${(n % 6) + 1}`);
    return {
      label: one.name,
      stroke,
      width: 1.5,
      fill: bars ? stroke : series.length === 1 ? `${stroke}1f` : undefined!,
      paths: bars ? uPlot.paths.bars!({ size: [0.8, 40] }) : undefined!,
      points: { show: points ?? false, size: 4 },
      spanGaps: true,
      value: (_, v) => value(v),
    };
  };
  return {
    width,
    height,
    legend: { show: true, live: true },
    cursor: {
      drag: { x: Boolean(props.current.picked), y: false, setScale: false },
      points: { size: 6 },
      ...(group ? { sync: { key: group } } : {}),
    },
    scales: {
      x: {
        time: true,
        range: (_, low, high) => {
          const range = props.current.range;
          return range ? [range[0] / 1000, range[1] / 1000] : low === high ? [low - 60, high + 60] : [low, high];
        },
      },
      y: {
        range: (_, low, high) => {
          if (low === null || low === undefined) return [0, 1];
          high = Math.max(high, props.current.top ?? high);
          const pad = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.08;
          return [fromZero ? 0 : low - pad, high + pad];
        },
      },
    },
    axes: [
      { ...axis, size: 26, space: 80, values: (_, ticks) => ticks.map((at) => moment(at, ticks)) },
      { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => compact(tick)) },
    ],
    series: [{ label: "time", value: (_, at) => (at === null ? "–" : time(at * 1000)) }, ...series.map(line)],
    hooks: {
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 4) return;
          const [from, to] = [u.posToVal(left, "x") * 1000, u.posToVal(left + width, "x") * 1000];
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          props.current.picked?.(Math.floor(from), Math.ceil(to));
        },
      ],
    },
  };
}

/** A tick of the axis of time: as much of it as tells it from its neighbours. */
function moment(at: number, ticks: number[]): string {
  const step = (ticks[1] ?? at + 60) - ticks[0]!;
  const date = new Date(at * 1000);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0;
  if (step >= 86_400 || (midnight && step >= 60)) return date.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  const seconds = step < 60 ? ({ second: "2-digit" } as const) : {};
  return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false, ...seconds });
}

const format = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });

function compact(n: number): string {
  return Math.abs(n) >= 10_000 ? format.format(n) : String(Number(n.toPrecision(6)));
}
