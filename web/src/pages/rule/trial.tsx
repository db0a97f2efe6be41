// What a rule would have done in the last days, and what another version of it would have done otherwise.
import { useMemo, useState } from "preact/hooks";

import { type Rehearsal, type Trial, dryRun } from "../../api/rules";
import { Chart } from "../../charts/chart";
import { count, time } from "../../format";
import { Alarm, Choices, Figure, Note, Panel } from "../../ui/parts";
import { type Fault, type Written, faultOf } from "./draft";
import { Episodes } from "./episodes";

const DAYS = [
  ["1", "1 day"],
  ["7", "7 days"],
  ["30", "30 days"],
] as const;

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

export interface TrialProps {
  /** `null`: not kept yet. */
  id: string | null;
  /** What stands in the form. */
  written: () => Written;
  /** Whether the form says something else than the rule in force. */
  changed: boolean;
  refused: (fault: Fault | null) => void;
}

export function TrialPanel({ id, written, changed, refused }: TrialProps) {
  const [days, setDays] = useState<(typeof DAYS)[number][0]>("7");
  const [state, set] = useState<{ busy?: boolean; trial?: Trial; error?: Error; days?: string }>({});
  const run = async () => {
    const { document, fault } = written();
    if (fault) return refused(fault);
    refused(null);
    set({ busy: true });
    try {
      const since = new Date(Date.now() - Number(days) * DAY_MS).toISOString();
      set({ trial: await dryRun(id, since, id !== null && !changed ? undefined : document), days });
    } catch (error) {
      const fault = faultOf((error as Error).message);
      if (fault.field) refused(fault);
      set({ error: fault.field ? new Error("What is written is no rule yet: see above.") : (error as Error) });
    }
  };
  return (
    <Panel title="What would it have done?" aside={<Choices label="Time tried" options={DAYS} value={days} choose={setDays} />}>
      <div class="stack">
        <div class="bar">
          <button class="button main" type="button" disabled={state.busy} onClick={run}>
            {state.busy ? "Trying …" : "Dry run"}
          </button>
          <span class="muted">
            {id !== null && changed
              ? "Both what is written here and the version in force, over what is stored. Nobody is told."
              : "Over what is stored, by the same evaluation. Nobody is told."}
          </span>
        </div>
        {state.error && <Alarm>{state.error.message}</Alarm>}
        {state.trial && <Found trial={state.trial} days={state.days!} />}
      </div>
    </Panel>
  );
}

function Found({ trial, days }: { trial: Trial; days: string }) {
  const shown: Rehearsal = trial.other ?? trial;
  const isPartial = trial.is_partial || shown.is_partial;
  return (
    <div class="stack" role="region" aria-label="Dry run">
      <p role="status">
        In the last {days === "1" ? "day" : `${days} days`}: {many(shown.alerts, "alert")} of {many(shown.devices_concerned, "device")}.
        {trial.difference && ` ${said(trial.difference)}`}
      </p>
      {isPartial && (
        <Alarm mild>It took too long, and was broken off after {count(shown.devices)} devices: these are not all. Try fewer days.</Alarm>
      )}
      <dl class="figures">
        <Figure name="Alerts" note={trial.other && `${count(trial.alerts)} by the version in force`}>
          {count(shown.alerts)}
        </Figure>
        <Figure name="Held back" note="too soon after another">
          {count(shown.suppressed)}
        </Figure>
        <Figure name="Devices" note={`of ${count(shown.devices)}`}>
          {count(shown.devices_concerned)}
        </Figure>
        <Figure name="Readings looked at">{count(shown.readings)}</Figure>
      </dl>
      {shown.readings === 0 ? (
        <Note title="Nothing to look at">No device has sent what the condition looks at in this time. A metric's name may be mistyped.</Note>
      ) : (
        <>
          <ByHour trial={trial} of={shown} label={trial.other ? "Alerts per hour, as written here" : "Alerts per hour"} />
          {trial.other && <ByHour trial={trial} of={trial} label="Alerts per hour, version in force" />}
          <Episodes trial={trial} shown={shown} />
        </>
      )}
    </div>
  );
}

function many(n: number, what: string): string {
  return n === 1 ? `1 ${what}` : `${count(n)} ${what}s`;
}

function said({ both, only_before, only_after }: NonNullable<Trial["difference"]>): string {
  if (!only_before && !only_after) return "The version in force would have raised the same.";
  return `Compared with the version in force: ${count(only_after)} more, ${count(only_before)} missing, ${count(both)} the same.`;
}

function ByHour({ trial, of, label }: { trial: Trial; of: Rehearsal; label: string }) {
  const { times, values, range } = useMemo(() => filled(trial, of), [trial, of]);
  return (
    <figure class="chart">
      <figcaption>
        <strong>{label}</strong>
        <span class="muted">
          {time(Date.parse(trial.since))} to {time(Date.parse(trial.until))}
        </span>
      </figcaption>
      <Chart label={label} times={times} series={[{ name: "alerts", values }]} range={range} height={150} group="trial" top={most(trial)} bars fromZero />
    </figure>
  );
}

/** Both versions are drawn to the same measure. */
function most(trial: Trial): number {
  return Math.max(1, ...trial.by_hour.map(([, n]) => n), ...(trial.other?.by_hour.map(([, n]) => n) ?? []));
}

/** Hours without an alert are nought. */
function filled(trial: Trial, of: Rehearsal): { times: number[]; values: number[]; range: [number, number] } {
  const by = new Map(of.by_hour);
  const first = Math.floor(Date.parse(trial.since) / HOUR_MS) * HOUR_MS;
  const end = Date.parse(trial.until);
  const times: number[] = [];
  for (let at = first; at < end; at += HOUR_MS) times.push(at);
  return { times, values: times.map((at) => by.get(at) ?? 0), range: [first - HOUR_MS / 2, end] };
}
