// What is wrong now, and what was: found, acknowledged, resolved, muted.
import { useEffect, useState } from "preact/hooks";

import { type Alert, type Page, type Wanted, alertsPage } from "../api/alerts";
import { type Rule, rules as allRules } from "../api/rules";
import { count } from "../format";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { Alarm, Note, Panel, Shown, Title } from "../ui/parts";
import { useAnswer, useRested } from "../ui/use-answer";
import { type Deed, DeedDialog, performPlainly } from "./alerts/deed";
import { SEVERITIES } from "./alerts/marks";
import { useSteady } from "./alerts/steady";
import { AlertTable } from "./alerts/table";

/** Alerts on a page of the list, and the most that "More" adds up to: who looks for one among more narrows it down. */
const PAGE = 50;
const PAGES = 20;

const EVERY_MS = 4000;

const STATES = [
  ["", "Open, then those that are over"],
  ["open", "Open"],
  ["raised", "Raised, and not acknowledged"],
  ["acknowledged", "Acknowledged"],
  ["resolved", "Resolved"],
  ["suppressed", "Held back: another one stands for it"],
] as const;

export default function Alerts({ params }: PageProps) {
  const state = params.get("state") ?? "";
  const severity = params.get("severity") ?? "";
  const rule = params.get("rule") ?? "";
  const device = params.get("device") ?? "";
  const rules = useAnswer(allRules, [], 30_000);
  const wanted = { severity, rule, device_id: device };
  const narrowed = Boolean(severity || rule || device);
  const key = JSON.stringify(wanted);
  const lists: [string, string][] = state
    ? [[state, STATES.find(([name]) => name === state)?.[1] ?? state]]
    : [
        ["open", "Open"],
        ["resolved", "Over"],
      ];
  return (
    <div class="stack">
      <Title
        aside={
          <a class="button" href={href(["rules"])}>
            Rules
          </a>
        }
      >
        Alerts
      </Title>
      <Filters params={params} rules={rules.data ?? []} />
      {lists.map(([state, title]) => (
        <List key={`${state} ${key}`} title={title} wanted={{ ...wanted, state }}>
          <Nothing state={state} narrowed={narrowed} rules={rules.data} />
        </List>
      ))}
    </div>
  );
}

function Filters({ params, rules }: { params: URLSearchParams; rules: Rule[] }) {
  const asked = params.get("device") ?? "";
  const [device, setDevice] = useState(asked);
  const wanted = useRested(device.trim(), 400);
  useEffect(() => {
    if (wanted !== asked) setParams({ device: wanted }, true);
  }, [wanted]);
  const rule = params.get("rule") ?? "";
  const choose = (name: string) => (event: Event & { currentTarget: HTMLSelectElement }) => setParams({ [name]: event.currentTarget.value }, true);
  return (
    <div class="bar" role="search" aria-label="Alerts">
      <select aria-label="State" value={params.get("state") ?? ""} onChange={choose("state")}>
        {STATES.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <select aria-label="Severity" value={params.get("severity") ?? ""} onChange={choose("severity")}>
        <option value="">Any severity</option>
        {SEVERITIES.slice(0, -1).map((severity, n) => (
          <option key={severity} value={severity}>
            {severity}
            {n > 0 && " and worse"}
          </option>
        ))}
      </select>
      <select aria-label="Rule" value={rule} onChange={choose("rule")}>
        <option value="">Any rule</option>
        {/* One that is gone has left its alerts. */}
        {rule && !rules.some(({ id }) => id === rule) && <option value={rule}>{rule}</option>}
        {rules.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
      <input type="search" class="long" aria-label="Device" placeholder="A device, by its whole name" value={device} onInput={(event) => setDevice(event.currentTarget.value)} />
    </div>
  );
}

function List({ title, wanted, children }: { title: string; wanted: Wanted; children: preact.ComponentChildren }) {
  const [turns, setTurns] = useState(1);
  const found = useAnswer((signal) => pagesOf(wanted, turns, signal), [turns], EVERY_MS);
  const n = found.data?.alerts.length ?? 0;
  const more = Boolean(found.data?.next);
  return (
    <Panel title={`${title}${n ? ` · ${count(n)}${more ? " and more" : ""}` : ""}`} flush>
      <Shown of={found}>
        {({ alerts }) => (
          <Rows title={title} alerts={alerts} again={found.again}>
            {more ? <Note title="None among the newest">There are older alerts that were not looked at yet.</Note> : children}
          </Rows>
        )}
      </Shown>
      {more && (
        <div class="bar after">
          {turns < PAGES ? (
            <button class="button" type="button" disabled={found.pending} onClick={() => setTurns(turns + 1)}>
              More
            </button>
          ) : (
            <span class="muted">There are more: narrow it down to a device or rule.</span>
          )}
        </div>
      )}
    </Panel>
  );
}

/** The first so many pages, always from the newest on: an alert that was raised meanwhile shifts none out of sight. */
async function pagesOf(wanted: Wanted, turns: number, signal: AbortSignal): Promise<Page> {
  const alerts: Alert[] = [];
  let next: string | null = null;
  for (let turn = 0; turn < turns && (turn === 0 || next); turn += 1) {
    const page: Page = await alertsPage(wanted, PAGE, next ?? undefined, signal);
    alerts.push(...page.alerts);
    next = page.next;
  }
  return { alerts, next };
}

/** The list, or what stands in its place where it is empty; and what was done last, which may have emptied it. */
function Rows({ title, alerts, again, children }: { title: string; alerts: Alert[]; again: () => void; children: preact.ComponentChildren }) {
  const steady = useSteady(alerts);
  const [asked, ask] = useState<{ alert: Alert; deed: Deed } | null>(null);
  const [said, say] = useState<{ text?: string; error?: Error }>({});
  const done = ({ said }: { said: string }) => {
    ask(null);
    say({ text: said });
    again();
  };
  const act = (alert: Alert, deed: Deed) => {
    if (deed !== "ack") return ask({ alert, deed });
    performPlainly(alert, deed).then(done, (error: Error) => say({ error }));
  };
  return (
    <div {...steady.hold}>
      <div class="saying" role="status">
        {said.text && <p class="note">{said.text}</p>}
        {steady.waiting > 0 && (
          <p class="note">
            <button class="button" type="button" onClick={steady.take}>
              {steady.waiting === 1 ? "1 new alert" : `${count(steady.waiting)} new alerts`}: show
            </button>
          </p>
        )}
      </div>
      {said.error && (
        <div class="note">
          <Alarm>{said.error.message}</Alarm>
        </div>
      )}
      {steady.shown.length ? <AlertTable label={`${title}, alerts`} alerts={steady.shown} past={steady.past} act={act} /> : children}
      <DeedDialog of={asked} leave={() => ask(null)} done={done} />
    </div>
  );
}

function Nothing({ state, narrowed, rules }: { state: string; narrowed: boolean; rules: Rule[] | undefined }) {
  if (rules?.length === 0 && state !== "resolved") {
    return (
      <Note title="There are no rules yet">
        A rule says what must not happen unseen: <code>temperature &gt; 80</code>. <a href={href(["rules", "New"])}>Write the first</a>, and try it over
        what is stored before it tells anybody.
      </Note>
    );
  }
  if (narrowed) return <Note title="No alert is like this" />;
  if (state !== "open") return <Note title="None">{state === "resolved" ? "Alerts that are over stay here." : "No alert stands there now."}</Note>;
  const on = rules?.filter(({ enabled }) => enabled).length ?? 0;
  return <Note title="Nothing is wrong">{rules ? `${on === 1 ? "1 rule is" : `${count(on)} rules are`} watching.` : ""}</Note>;
}
