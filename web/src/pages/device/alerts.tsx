// What rules have said of a device.
import { alertsPage } from "../../api/alerts";
import { href } from "../../router";
import { Note, Panel, Shown } from "../../ui/parts";
import { useAnswer } from "../../ui/use-answer";
import { AlertTable } from "../alerts/table";

/** The latest; the list of alerts has the others. */
const LISTED = 10;

export function DeviceAlerts({ id }: { id: string }) {
  const found = useAnswer((signal) => alertsPage({ device_id: id }, LISTED, undefined, signal), [id], 10_000);
  return (
    <Panel title="Alerts" flush aside={<a href={href(["alerts"], { device: id })}>All of this device</a>}>
      <Shown of={found}>
        {({ alerts }) =>
          alerts.length ? (
            <AlertTable label="Alerts of this device" alerts={alerts} withoutDevice />
          ) : (
            <Note title="None">
              No rule was broken by this device. <a href={href(["rules"])}>Rules</a>
            </Note>
          )
        }
      </Shown>
    </Panel>
  );
}
