// One alert: why, since when, who was told, and what became of the messages.
import { useState } from "preact/hooks";

import { type AlertInFull, alertInFull } from "../api/alerts";
import { Problem } from "../api/client";
import { count, time } from "../format";
import type { PageProps } from "../pages";
import { href } from "../router";
import { Ago, Alarm, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { Deliveries } from "./alert/deliveries";
import { around } from "./alert/around";
import { type Deed, DeedForm } from "./alerts/deed";
import { STATES, SeverityMark, StateMark } from "./alerts/marks";

const EVERY_MS = 3000;

export default function AlertPage({ rest }: PageProps) {
  const id = rest.join("/");
  const alert = useAnswer((signal) => alertInFull(id, signal), [id], EVERY_MS);
  const gone = alert.error instanceof Problem && alert.error.status === 404;
  const { data } = alert;
  return (
    <div class="stack">
      <Title aside={<a href={href(["alerts"])}>All alerts</a>}>{data ? `${data.rule} of ${data.device_id}` : "Alert"}</Title>
      {gone && !data ? (
        <Note title="There is no such alert">Resolved ones are kept for as long as the configuration says; or the address is not of an alert.</Note>
      ) : (
        <Shown of={alert}>
          {(alert_) => (
            <>
              <div class="columns">
                <div class="stack">
                  <Act alert={alert_} again={alert.again} />
                  <Past alert={alert_} />
                </div>
                <About alert={alert_} />
              </div>
              <Deliveries alert={alert_} />
            </>
          )}
        </Shown>
      )}
    </div>
  );
}

function Act({ alert, again }: { alert: AlertInFull; again: () => void }) {
  const [said, say] = useState<string | null>(null);
  const deeds: Deed[] = alert.state === "raised" ? ["ack", "resolve", "mute"] : alert.state === "acknowledged" ? ["resolve", "mute"] : ["mute"];
  const done = ({ said }: { said: string }) => {
    say(said);
    again();
  };
  return (
    <Panel
      title={
        <>
          <SeverityMark severity={alert.severity} /> <StateMark alert={alert} />
        </>
      }
    >
      <div class="stack">
        <p class="why">{alert.why || "Whoever raised it gave no reason."}</p>
        {alert.state === "suppressed" && alert.suppressed_by && (
          <p class="muted">
            Held back: <a href={href(["alerts", alert.suppressed_by])}>another one of the same rule and device</a> stands for it.
          </p>
        )}
        {said && <Alarm fine>{said}</Alarm>}
        <DeedForm key={alert.state} alert={alert} deeds={deeds} done={done} />
      </div>
    </Panel>
  );
}

function About({ alert }: { alert: AlertInFull }) {
  const lines: [string, preact.ComponentChildren][] = [
    ["Device", <a href={href(["devices", alert.device_id])}>{alert.device_id}</a>],
    ["At that time", <a href={href(["devices", alert.device_id], around(alert.triggered_at, alert.resolved_at))}>its curves</a>],
    ["Rule", alert.rule_version === 0 ? `${alert.rule}, raised from outside` : <a href={href(["rules", alert.rule_id])}>{`${alert.rule}, version ${alert.rule_version}`}</a>],
    ["Others", <a href={href(["alerts"], { device: alert.device_id, rule: alert.rule_id })}>of this rule and device</a>],
    ["Began", <Ago at={alert.triggered_at} />],
    ["Raised", <Ago at={alert.raised_at} />],
    ["Acknowledged", alert.acknowledged_at ? <Ago at={alert.acknowledged_at} /> : "no"],
    ["Over", alert.resolved_at ? <Ago at={alert.resolved_at} /> : "no"],
    ["Held back", alert.suppressed ? `${count(alert.suppressed)} that it stands for` : "none"],
  ];
  if (alert.muted_by) lines.push(["Muted by", <a href={href(["people"])}>{alert.muted_by}</a>]);
  if (alert.retrospective) lines.push(["Afterwards", "late readings or history say so, not what happened then"]);
  return (
    <Panel title="About it">
      <dl class="facts">
        {lines.map(([name, text]) => (
          <>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
    </Panel>
  );
}

const WORDS: Record<string, string> = {
  suppressed: STATES.suppressed,
  outlasted: "stands on its own",
  ended: "its condition ended",
};

function Past({ alert }: { alert: AlertInFull }) {
  return (
    <Panel title="History" flush>
      <Scroll label="History" tall>
        <table>
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">What</th>
              <th scope="col">Who</th>
              <th scope="col">Remark</th>
            </tr>
          </thead>
          <tbody>
            {alert.history.map((entry, n) => (
              <tr key={n}>
                <td title={entry.at}>{time(Date.parse(entry.at))}</td>
                <td>{WORDS[entry.what] ?? entry.what}</td>
                <td>{entry.who ?? <span class="muted">the rule</span>}</td>
                <td class="wraps">{entry.remark}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {alert.history_more > 0 && <p class="note">{count(alert.history_more)} entries more were only counted.</p>}
    </Panel>
  );
}
