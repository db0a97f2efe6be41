import { getJson } from "../../api/client";
import { rows } from "../../api/sql";
import { seconds } from "../../format";
import { Ago, Panel, Shown } from "../../ui/parts";
import { useAnswer } from "../../ui/use-answer";

interface Known {
  type: string | null;
  site: string | null;
  location: { lat?: number; lng?: number; text?: string } | null;
  firmware: string | null;
  tags: Record<string, string> | null;
  registered_at: string | null;
  created_at: string | null;
  last_seen: string | null;
}

interface Clock {
  clock_skew_ms: number | null;
  clock_suspect: boolean | null;
}

export function Facts({ at, id }: { at: string; id: string }) {
  const known = useAnswer((signal) => getJson<Known>(at, signal), [at], 15_000);
  const clock = useAnswer((signal) => rows<Clock>("SELECT clock_skew_ms, clock_suspect FROM devices WHERE id = ?", [id], signal), [id], 15_000);
  return (
    <Panel title="What is known">
      <Shown of={known}>
        {(device) => {
          const lines: [string, preact.ComponentChildren][] = [
            ["Last seen", <Ago at={device.last_seen} />],
            ["First seen", <Ago at={device.created_at} />],
            ["Type", device.type],
            ["Site", device.site],
            ["Place", where(device.location)],
            ["Firmware", device.firmware],
            ["Clock", said(clock.data?.[0])],
            ["Registered", device.registered_at ? <Ago at={device.registered_at} /> : "no"],
            ...Object.entries(device.tags ?? {}).map(([name, text]): [string, string] => [name, text]),
          ];
          return (
            <dl class="facts">
              {lines.map(([name, text]) => (
                <>
                  <dt>{name}</dt>
                  <dd>{text ?? <span class="muted">not known</span>}</dd>
                </>
              ))}
            </dl>
          );
        }}
      </Shown>
    </Panel>
  );
}

function where(location: Known["location"]) {
  if (!location) return null;
  const at = location.lat !== undefined && location.lng !== undefined ? `${location.lat}, ${location.lng}` : "";
  return [location.text, at].filter(Boolean).join(" · ");
}

function said(clock: Clock | undefined) {
  const skew = clock?.clock_skew_ms;
  if (skew === null || skew === undefined) return null;
  const text = Math.abs(skew) < 50 ? "in step with the server" : `${seconds(Math.abs(skew) / 1000)} ${skew > 0 ? "ahead" : "behind"}`;
  return clock?.clock_suspect ? <span class="warn">{text}: far off</span> : text;
}
