import type { Alert } from "../../api/alerts";
import { href } from "../../router";
import { Ago, Scroll } from "../../ui/parts";
import type { Deed } from "./deed";
import { SeverityMark, StateMark, heldBack } from "./marks";

export interface AlertTableProps {
  label: string;
  alerts: Alert[];
  /** Those that the list would no longer have, were it not in somebody's hand. */
  past?: Set<string>;
  /** Left out where the page is of one device. */
  withoutDevice?: boolean;
  act?: (alert: Alert, deed: Deed) => void;
}

export function AlertTable({ label, alerts, past, withoutDevice, act }: AlertTableProps) {
  return (
    <Scroll label={label}>
      <table class="alerts">
        <thead>
          <tr>
            <th scope="col">Severity</th>
            <th scope="col">Rule</th>
            {!withoutDevice && <th scope="col">Device</th>}
            <th scope="col">Since</th>
            <th scope="col">State</th>
            <th scope="col">Why</th>
            {act && <th scope="col">Do</th>}
          </tr>
        </thead>
        <tbody>
          {alerts.map((alert) => (
            <tr key={alert.id} class={past?.has(alert.id) ? "past" : undefined}>
              <td>
                <SeverityMark severity={alert.severity} />
              </td>
              <th scope="row">
                <a href={href(["alerts", alert.id])}>{alert.rule}</a>
              </th>
              {!withoutDevice && (
                <td>
                  <a href={href(["devices", alert.device_id])}>{alert.device_id}</a>
                </td>
              )}
              <td>
                <Ago at={alert.triggered_at} />
              </td>
              <td>
                <StateMark alert={alert} past={past?.has(alert.id) ?? false} />
              </td>
              <td class="wraps">
                {alert.why} {alert.suppressed > 0 && <span class="muted">{heldBack(alert.suppressed)}</span>}
              </td>
              {act && <td class="last">{!past?.has(alert.id) && <Deeds alert={alert} act={act} />}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Deeds({ alert, act }: { alert: Alert; act: (alert: Alert, deed: Deed) => void }) {
  const of = `${alert.rule} of ${alert.device_id}`;
  const isOpen = alert.state === "raised" || alert.state === "acknowledged";
  const button = (deed: Deed, name: string) => (
    <button class="button plain" type="button" aria-label={`${name} ${of}`} onClick={() => act(alert, deed)}>
      {name}
    </button>
  );
  return (
    <span class="deeds">
      {alert.state === "raised" && button("ack", "Acknowledge")}
      {isOpen && button("resolve", "Resolve")}
      {button("mute", "Mute")}
    </span>
  );
}
