// Who was told of an alert, by which way, and what the receivers said.
import { type Address, type AlertInFull, type Delivery, isPerson, toldBy } from "../../api/alerts";
import { count } from "../../format";
import { href } from "../../router";
import { Ago, Note, Panel, Scroll } from "../../ui/parts";

const HOW = { single: "by itself", group: "with others of the rule", digest: "in a digest" } as const;

/** Addresses that stand in the rule itself. */
const NAMED = "whoever the rule names";

const OUTCOMES: Record<Delivery["outcome"], [string, string]> = {
  pending: ["waits", "warn"],
  delivered: ["arrived", "good"],
  failed: ["given up", "bad"],
  moved: ["told in a digest instead", "muted"],
};

export function Deliveries({ alert }: { alert: AlertInFull }) {
  return (
    <Panel title="Who was told" flush aside={<a href={href(["people"])}>People and mutes</a>}>
      {alert.told.length > 0 && (
        <p class="note">
          {alert.told.map(toldBy).map(({ person, how }, n) => (
            <span key={n}>
              {n > 0 && ", "}
              {isPerson(person) ? <a href={href(["people", person])}>{person}</a> : NAMED} {HOW[how]}
            </span>
          ))}
        </p>
      )}
      {alert.deliveries.length ? <List deliveries={alert.deliveries} /> : <Nobody alert={alert} />}
    </Panel>
  );
}

function Nobody({ alert }: { alert: AlertInFull }) {
  if (alert.told.length) return <Note>Its messages are not written yet.</Note>;
  if (alert.muted_by) return <Note title="Nobody: it was muted" />;
  if (alert.state === "suppressed") return <Note title="Nobody: another one stands for it" />;
  return <Note title="Nobody, so far">Nobody wants to hear of alerts like this one, or it waits to be told with others.</Note>;
}

function List({ deliveries }: { deliveries: Delivery[] }) {
  return (
    <Scroll label="Deliveries" tall>
      <table>
        <thead>
          <tr>
            <th scope="col">Written</th>
            <th scope="col">To</th>
            <th scope="col">Message</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="n">
              Tried
            </th>
            <th scope="col">The receiver said</th>
          </tr>
        </thead>
        <tbody>
          {deliveries.map((one, n) => (
            <tr key={`${one.key} ${n}`}>
              <td>
                <Ago at={one.created_at_ms} />
              </td>
              <td class="wraps">
                {isPerson(one.person) ? one.person : NAMED}, {one.channel} <span class="muted">{shownAddress(one.address)}</span>
              </td>
              <td>{one.kind.replace(/^alert\./, "")}</td>
              <td>
                <span class={OUTCOMES[one.outcome][1]}>{OUTCOMES[one.outcome][0]}</span>
                {one.outcome === "pending" && one.attempts > 0 && (
                  <>
                    , again <Ago at={one.next_attempt_ms} />
                  </>
                )}
              </td>
              <td class="n">{count(one.attempts)}</td>
              <td class="wraps">{one.said}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

export function shownAddress(address: Address): string {
  switch (address.kind) {
    case "webhook":
      return address.url;
    case "mqtt":
      return `topic ${address.topic}`;
    default:
      return address.to;
  }
}
