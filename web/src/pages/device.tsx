// One device: what it sent last, its curves down to the single reading, what is known of it, what went wrong.
import { useState } from "preact/hooks";

import { Problem, getJson } from "../api/client";
import { value } from "../format";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { Ago, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { type Answer, useAnswer } from "../ui/use-answer";
import { DeviceAlerts } from "./device/alerts";
import { Curves } from "./device/curves";
import { Events } from "./device/events";
import { Facts } from "./device/facts";

export interface Latest {
  metrics: Record<string, { value: unknown; time: string; arrived_at: string }>;
}

/** Curves shown before somebody chooses. */
const AT_FIRST = 3;

export default function Device({ rest, params }: PageProps) {
  const id = rest.join("/");
  const at = `/v1/devices/${encodeURIComponent(id)}`;
  const latest = useAnswer((signal) => latestOf(at, signal), [at], 5000);
  const drawable = Object.entries(latest.data?.metrics ?? {}).filter(([, one]) => ["number", "boolean"].includes(typeof one.value));
  const named = params.get("m")?.split(",");
  const chosen = drawable.map(([name]) => name).filter((name, n) => (named ? named.includes(name) : n < AT_FIRST));

  return (
    <div class="stack">
      <Title
        aside={
          <>
            <a class="button" href={href(["live"], { device: id })}>
              Live tail
            </a>
            <a class="button" href={href(["explore"], { device: id })}>
              Explore
            </a>
          </>
        }
      >
        {id}
      </Title>
      <div class="columns">
        <Curves id={id} metrics={chosen} params={params} />
        <div class="stack">
          <Values latest={latest} chosen={chosen} drawable={drawable.map(([name]) => name)} />
          <Facts at={at} id={id} />
        </div>
      </div>
      <DeviceAlerts id={id} />
      <Events id={id} />
    </div>
  );
}

/** A device that is only registered, or of which nothing could be used, has sent nothing: that is an answer, too. */
async function latestOf(at: string, signal: AbortSignal): Promise<Latest> {
  try {
    return await getJson<Latest>(`${at}/latest`, signal);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return { metrics: {} };
    throw error;
  }
}

function Values({ latest, chosen, drawable }: { latest: Answer<Latest>; chosen: string[]; drawable: string[] }) {
  const [filter, setFilter] = useState("");
  const choose = (name: string, on: boolean) => {
    const next = on ? [...chosen, name] : chosen.filter((one) => one !== name);
    setParams({ m: next.length ? next.join(",") : "-" }, true);
  };
  return (
    <Panel
      title="Latest values"
      flush
      aside={
        Object.keys(latest.data?.metrics ?? {}).length > 12 && (
          <input
            type="search"
            aria-label="Filter metrics"
            placeholder="Filter"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        )
      }
    >
      <Shown of={latest}>
        {({ metrics }) => {
          const shown = Object.entries(metrics).filter(([name]) => name.toLowerCase().includes(filter.toLowerCase()));
          if (!shown.length) return <Note>{filter ? "No metric has this in its name." : "It has sent nothing that could be used."}</Note>;
          return (
            <Scroll label="Latest values" tall>
              <table class="metrics">
                <thead>
                  <tr>
                    <th scope="col">Metric</th>
                    <th scope="col" class="n">
                      Value
                    </th>
                    <th scope="col" class="n">
                      Measured
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map(([name, one]) => (
                    <tr key={name}>
                      <td class="parts">
                        <label>
                          <input
                            type="checkbox"
                            disabled={!drawable.includes(name)}
                            checked={chosen.includes(name)}
                            onChange={(event) => choose(name, event.currentTarget.checked)}
                          />
                          <Parts of={name} />
                        </label>
                      </td>
                      <td class="n">{value(one.value)}</td>
                      <td class="n">
                        <Ago at={one.time} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          );
        }}
      </Shown>
    </Panel>
  );
}

/** A name that may break behind each of its parts: disk.read_bytes_per_s{mount=/}. */
function Parts({ of }: { of: string }) {
  return (
    <>
      {of.split(/(?<=[._,/-])|(?={)/).map((part, n) => (
        <>
          {n > 0 && <wbr />}
          {part}
        </>
      ))}
    </>
  );
}
