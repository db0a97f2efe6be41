// All devices, found and paged by the server.
import { useEffect, useState } from "preact/hooks";

import { type Cell, rows } from "../api/sql";
import { count } from "../format";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { Ago, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer, useRested } from "../ui/use-answer";

const PAGE = 50;

const SORTS = {
  name: ["Name", "id"],
  seen: ["Seen last, newest first", "last_seen DESC NULLS LAST, id"],
  silent: ["Silent for longest", "last_seen ASC NULLS LAST, id"],
  new: ["Newest", "created_at DESC, id"],
} as const;

interface Device {
  id: string;
  last_seen: string | null;
  metrics: number;
  clock_suspect: boolean | null;
  type: string | null;
  site: string | null;
  firmware: string | null;
}

export default function Devices({ params }: PageProps) {
  const [text, setText] = useState(params.get("q") ?? "");
  const wanted = useRested(text.trim());
  const sort = (params.get("sort") ?? "name") as keyof typeof SORTS;
  const order = (SORTS[sort] ?? SORTS.name)[1];
  const page = Math.max(Number(params.get("page")) || 1, 1);

  useEffect(() => {
    if (wanted !== (params.get("q") ?? "")) setParams({ q: wanted, page: null }, true);
  }, [wanted]);

  const asked = params.get("q") ?? "";
  const [where, holds] = condition(asked);
  const total = useAnswer((signal) => rows<{ n: number }>(`SELECT count(id) AS n FROM devices ${where}`, holds, signal), [asked], 15_000);
  const found = useAnswer(
    (signal) => listed(`${where} ORDER BY ${order} LIMIT ${PAGE + 1} OFFSET ${(page - 1) * PAGE}`, holds, signal),
    [asked, sort, page],
    15_000,
  );
  const more = (found.data?.length ?? 0) > PAGE;
  return (
    <div class="stack">
      <Title>Devices</Title>
      <Panel
        title={total.data ? `${count(total.data[0]!.n)} ${asked ? "found" : "in all"}` : "Devices"}
        flush
        aside={
          <div class="bar">
            <input
              type="search"
              aria-label="Search devices"
              placeholder="Name, type, site or tag"
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <select
              aria-label="Order"
              value={sort}
              onChange={(event) => setParams({ sort: event.currentTarget.value, page: null }, true)}
            >
              {Object.entries(SORTS).map(([name, [title]]) => (
                <option key={name} value={name}>
                  {title}
                </option>
              ))}
            </select>
          </div>
        }
      >
        <Shown of={found}>{(devices) => (devices.length ? <List devices={devices.slice(0, PAGE)} /> : <None asked={asked} page={page} />)}</Shown>
      </Panel>
      {(page > 1 || more) && (
        <nav class="bar" aria-label="Pages of the list">
          <button class="button" type="button" disabled={page === 1} onClick={() => setParams({ page: page - 1 })}>
            Back
          </button>
          <span class="muted">
            {count((page - 1) * PAGE + 1)} to {count((page - 1) * PAGE + Math.min(found.data?.length ?? PAGE, PAGE))}
            {total.data && ` of ${count(total.data[0]!.n)}`}
          </span>
          <button class="button" type="button" disabled={!more} onClick={() => setParams({ page: page + 1 })}>
            Next
          </button>
        </nav>
      )}
    </div>
  );
}

/** First which devices, then what is known of these: the names of a hundred thousand are quickly read, their facts are not. */
async function listed(which: string, holds: Cell[], signal: AbortSignal): Promise<Device[]> {
  const ids = (await rows<{ id: string }>(`SELECT id FROM devices ${which}`, holds, signal)).map(({ id }) => id);
  if (!ids.length) return [];
  const known = await rows<Device>(
    `SELECT id, last_seen, metrics, clock_suspect, type, site, firmware FROM devices WHERE id IN (${ids.map(() => "?").join(", ")})`,
    ids,
    signal,
  );
  const by = new Map(known.map((device) => [device.id, device]));
  return ids.flatMap((id) => by.get(id) ?? []);
}

/** Every word must be somewhere in what is known of the device. */
function condition(text: string): [string, Cell[]] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const known = "lower(concat_ws(' ', id, type, site, place, firmware, tags))";
  return words.length ? [`WHERE ${words.map(() => `strpos(${known}, ?) > 0`).join(" AND ")}`, words] : ["", []];
}

function List({ devices }: { devices: Device[] }) {
  return (
    <Scroll label="Devices">
      <table>
        <thead>
          <tr>
            <th scope="col">Device</th>
            <th scope="col">Last seen</th>
            <th scope="col">Type</th>
            <th scope="col">Site</th>
            <th scope="col">Firmware</th>
            <th scope="col" class="n">
              Metrics
            </th>
            <th scope="col">Clock</th>
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => (
            <tr key={device.id}>
              <th scope="row">
                <a href={href(["devices", device.id])}>{device.id}</a>
              </th>
              <td>
                <Ago at={device.last_seen} />
              </td>
              <td>{device.type ?? <Unknown />}</td>
              <td>{device.site ?? <Unknown />}</td>
              <td>{device.firmware ?? <Unknown />}</td>
              <td class="n">{count(device.metrics)}</td>
              <td>{device.clock_suspect ? <span class="warn">far off</span> : <Unknown />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Unknown() {
  return <span class="muted">–</span>;
}

function None({ asked, page }: { asked: string; page: number }) {
  if (page > 1) return <Note title="The list ends before this page" />;
  if (asked) {
    return (
      <Note title={`Nothing known of any device has “${asked}” in it`}>
        Names, types, sites, places, firmware and tags are searched, and each word must be found.
      </Note>
    );
  }
  return (
    <Note title="No device has sent anything yet">
      A device need not be registered: it is here with its first reading. Try{" "}
      <code>{`curl -d '{"device_id":"d1","metric":"temperature","value":21.5}' ${location.origin}/v1/telemetry`}</code>
    </Note>
  );
}
