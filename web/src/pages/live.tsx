// Readings as they are stored. What a browser cannot keep up with is counted by the server, and said.
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem, key, path } from "../api/client";
import { type LiveReading, listen } from "../api/events";
import { count, rate, timeWithMillis, value } from "../format";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { useStore } from "../store";
import { Alarm, Note, Panel, Scroll, Title } from "../ui/parts";

/** Lines kept in sight. */
const KEPT = 300;

/** How often what came is shown: faster than this nobody reads. */
const SHOW_MS = 250;

/** How long to wait before a lost stream is opened again. */
const AGAIN_MS = 2000;

interface Line extends LiveReading {
  n: number;
}

type State = "connecting" | "open" | "lost";

export default function Live({ params }: PageProps) {
  const device = params.get("device") ?? "";
  const metric = params.get("metric") ?? "";
  const [form, setForm] = useState({ device, metric });
  const [paused, pause] = useState(false);
  const tail = useTail(device, metric, paused);

  const apply = (event: Event) => {
    event.preventDefault();
    setParams({ device: form.device.trim(), metric: form.metric.trim() }, true);
  };
  return (
    <div class="stack">
      <Title
        aside={
          <span class="muted" role="status">
            <span class={`dot ${tail.state === "open" ? "good" : tail.state === "lost" ? "bad" : "warn"}`} />
            {tail.state === "open" ? (paused ? "paused" : "live") : tail.state === "lost" ? "lost, trying again" : "connecting"}
          </span>
        }
      >
        Live tail
      </Title>
      {tail.error && <Alarm mild>{tail.error.message}</Alarm>}
      <Panel
        title={`${rate(tail.perSecond)} readings per second`}
        flush
        aside={
          <form class="bar" onSubmit={apply}>
            <input
              type="search"
              aria-label="Device"
              placeholder="Device, whole name"
              value={form.device}
              onInput={(event) => setForm({ ...form, device: event.currentTarget.value })}
            />
            <input
              type="search"
              aria-label="Metric"
              placeholder="Metric, whole name"
              value={form.metric}
              onInput={(event) => setForm({ ...form, metric: event.currentTarget.value })}
            />
            <button class="button" type="submit">
              Show
            </button>
            <button class="button" type="button" aria-pressed={paused} onClick={() => pause(!paused)}>
              {paused ? "Go on" : "Pause"}
            </button>
          </form>
        }
      >
        {tail.missed > 0 && (
          <div class="note">
            <Alarm mild>
              {count(tail.missed)} readings came faster than they could be shown and were left out here. They are stored: choose a device, or ask
              in Explore.
            </Alarm>
          </div>
        )}
        {tail.lines.length ? <Lines lines={tail.lines} /> : <Waiting device={device} metric={metric} />}
      </Panel>
    </div>
  );
}

function Lines({ lines }: { lines: Line[] }) {
  return (
    <Scroll label="Readings as they come">
      <table>
        <thead>
          <tr>
            <th scope="col">Arrived</th>
            <th scope="col">Device</th>
            <th scope="col">Metric</th>
            <th scope="col" class="n">
              Value
            </th>
            <th scope="col">Measured</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.n}>
              <td title={line.arrived_at}>{timeWithMillis(Date.parse(line.arrived_at))}</td>
              <td>
                <a href={href(["devices", line.device_id])}>{line.device_id}</a>
              </td>
              <td>{line.metric}</td>
              <td class="n">{value(line.value)}</td>
              <td title={line.time}>{timeWithMillis(Date.parse(line.time))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Waiting({ device, metric }: { device: string; metric: string }) {
  const wanted = [device && `of device “${device}”`, metric && `of metric “${metric}”`].filter(Boolean).join(", ");
  return (
    <Note title={`Waiting for readings ${wanted}`}>
      {wanted ? "Names are compared whole, letter by letter." : "They show here as soon as they are stored."}
    </Note>
  );
}

function useTail(device: string, metric: string, paused: boolean) {
  const [lines, setLines] = useState<Line[]>([]);
  const [missed, setMissed] = useState(0);
  const [state, setState] = useState<State>("connecting");
  const [error, setError] = useState<Error | null>(null);
  const [perSecond, setPerSecond] = useState(0);
  // What one key shows is not for who has another.
  const shown = useStore(key);
  const still = useRef(paused);
  still.current = paused;

  useEffect(() => {
    const end = new AbortController();
    const waiting: Line[] = [];
    let [n, came, since] = [0, 0, performance.now()];
    setLines([]);
    setMissed(0);

    const show = setInterval(() => {
      const passed = performance.now() - since;
      if (passed >= 1000) {
        setPerSecond((came * 1000) / passed);
        [came, since] = [0, performance.now()];
      }
      if (still.current || !waiting.length) return;
      const newest = waiting.splice(0).slice(-KEPT).reverse();
      setLines((old) => [...newest, ...old].slice(0, KEPT));
    }, SHOW_MS);

    const listener = {
      opened: () => {
        setState("open");
        setError(null);
      },
      readings: (readings: LiveReading[]) => {
        came += readings.length;
        for (const reading of readings) waiting.push({ ...reading, n: n++ });
        if (waiting.length > 2 * KEPT) waiting.splice(0, waiting.length - KEPT);
      },
      missed: (more: number) => {
        came += more;
        setMissed((all) => all + more);
      },
    };
    const follow = async () => {
      while (!end.signal.aborted) {
        try {
          await listen(path("/v1/stream", { device_id: device, metric }), listener, end.signal);
        } catch (error) {
          if (end.signal.aborted) return;
          setError(error as Error);
          // Asking the same again gives the same answer.
          if (error instanceof Problem && [400, 401, 403, 404].includes(error.status)) return setState("lost");
        }
        setState("lost");
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    void follow();
    return () => {
      end.abort();
      clearInterval(show);
    };
  }, [device, metric, shown]);

  return { lines, missed, state, error, perSecond };
}
