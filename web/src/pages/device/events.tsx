// What was out of the ordinary with a device: readings that came late, that replaced others, that could not be used.
import { rows } from "../../api/sql";
import { time, value } from "../../format";
import { href } from "../../router";
import { Note, Panel, Scroll, Shown } from "../../ui/parts";
import { useAnswer } from "../../ui/use-answer";

const EACH = 20;

interface Event {
  at: string;
  kind: "late" | "correction" | "dead letter";
  what: string;
  to?: string;
}

export function Events({ id }: { id: string }) {
  const events = useAnswer((signal) => of(id, signal), [id], 15_000);
  return (
    <Panel title="Events" flush aside={<span class="muted">the latest {EACH} of each kind</span>}>
      <Shown of={events}>
        {(events) =>
          events.length === 0 ? (
            <Note title="Nothing out of the ordinary">No reading of this device came late, was replaced, or could not be used.</Note>
          ) : (
            <Scroll label="Events" tall>
              <table>
                <thead>
                  <tr>
                    <th scope="col">Time</th>
                    <th scope="col">Kind</th>
                    <th scope="col">What</th>
                  </tr>
                </thead>
                <tbody>
                  {events.map((event, n) => (
                    <tr key={n}>
                      <td title={event.at}>{time(Date.parse(event.at))}</td>
                      <td>
                        <span class={event.kind === "dead letter" ? "tag bad" : "tag"}>{event.kind}</span>
                      </td>
                      <td class="wraps">{event.to ? <a href={event.to}>{event.what}</a> : event.what}</td>
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

async function of(id: string, signal: AbortSignal): Promise<Event[]> {
  const [late, corrected, dead] = await Promise.all([
    rows<{ time: string; arrived_at: string; metric: string; value: unknown; text: unknown }>(
      `SELECT time, arrived_at, metric, value, text FROM late WHERE device_id = ? ORDER BY arrived_at DESC LIMIT ${EACH}`,
      [id],
      signal,
    ),
    rows<{ time: string; replaced_at: string; metric: string; old_value: unknown; old_text: unknown }>(
      `SELECT time, replaced_at, metric, old_value, old_text FROM corrections WHERE device_id = ? ORDER BY replaced_at DESC LIMIT ${EACH}`,
      [id],
      signal,
    ),
    rows<{ id: string; last_at: string; stage: string; reason: string }>(
      `SELECT id, last_at, stage, reason FROM dlq WHERE device_id = ? ORDER BY last_at DESC LIMIT ${EACH}`,
      [id],
      signal,
    ),
  ]);
  const events: Event[] = [
    ...late.map((one): Event => ({
      at: one.arrived_at,
      kind: "late",
      what: `${one.metric} = ${value(one.value ?? one.text)}, measured ${time(Date.parse(one.time))}`,
    })),
    ...corrected.map((one): Event => ({
      at: one.replaced_at,
      kind: "correction",
      what: `${one.metric} of ${time(Date.parse(one.time))} was ${value(one.old_value ?? one.old_text)}`,
    })),
    ...dead.map((one): Event => ({
      at: one.last_at,
      kind: "dead letter",
      what: `${one.stage}: ${one.reason}`,
      to: href(["dead-letters", one.id]),
    })),
  ];
  return events.sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
}
