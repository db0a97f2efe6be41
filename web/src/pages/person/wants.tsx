// What a person wants to hear of, and when not.
import type { Severity } from "../../api/alerts";
import { SEVERITIES } from "../alerts/marks";
import { DAYS, type Draft } from "./draft";

interface Props {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
}

const EXAMPLE = '[{"of": {"site": "hamburg", "device": "press-*"}, "from": "critical", "channels": ["phone"]}, {"from": "warning", "channels": ["mail"]}]';

export function Wants({ draft, set }: Props) {
  return (
    <div class="stack">
      <div class="halves">
        <label class="field">
          <span>Hears of</span>
          <select value={draft.from} onChange={(event) => set({ from: event.currentTarget.value as Draft["from"], wants: draft.wants || EXAMPLE })}>
            <option value="info">everything</option>
            <option value="warning">warnings and critical alerts</option>
            <option value="critical">critical alerts</option>
            <option value="none">what an escalation brings</option>
            <option value="json">a selection, as JSON …</option>
          </select>
        </label>
        <label class="field">
          <span>Messages in an hour, at most; empty: as the server is set, 0: no limit</span>
          <input type="number" min="0" max="600" value={draft.perHour} onInput={(event) => set({ perHour: event.currentTarget.value })} />
        </label>
      </div>
      {draft.from === "json" && (
        <label class="field">
          <span>Selections; the first that means an alert counts</span>
          <textarea rows={Math.min(Math.max(draft.wants.split("\n").length, 4), 14)} spellcheck={false} value={draft.wants} onInput={(event) => set({ wants: event.currentTarget.value })} />
        </label>
      )}
      <label class="check">
        <input type="checkbox" checked={draft.resolved} onChange={(event) => set({ resolved: event.currentTarget.checked })} />
        Hears, too, that an alert is over
      </label>
      <QuietHours draft={draft} set={set} />
    </div>
  );
}

function QuietHours({ draft, set }: Props) {
  const { quiet } = draft;
  const change = (next: Partial<Draft["quiet"]>) => set({ quiet: { ...quiet, ...next } });
  const clock = (key: "from" | "to", label: string) => (
    <label class="field">
      <span>{label}</span>
      <input type="time" required value={quiet[key]} onInput={(event) => change({ [key]: event.currentTarget.value })} />
    </label>
  );
  const day = (name: string, on: boolean) => change({ days: on ? [...quiet.days, name] : quiet.days.filter((one) => one !== name) });
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={draft.isQuiet} onChange={(event) => set({ isQuiet: event.currentTarget.checked })} />
        Has quiet hours
      </label>
      {draft.isQuiet && (
        <fieldset>
          <legend>Quiet hours: what is held back comes in a digest at their end</legend>
          <div class="bar">
            {clock("from", "From")}
            {clock("to", "To")}
            <label class="field">
              <span>Time zone</span>
              <input type="text" required value={quiet.zone} onInput={(event) => change({ zone: event.currentTarget.value })} />
            </label>
            <label class="field">
              <span>All the same from</span>
              <select value={quiet.except} onChange={(event) => change({ except: event.currentTarget.value as Severity })}>
                {SEVERITIES.map((severity) => (
                  <option key={severity} value={severity}>
                    {severity}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <div class="bar" role="group" aria-label="Days; none: every day">
            {DAYS.map((name) => (
              <label class="check" key={name}>
                <input type="checkbox" checked={quiet.days.includes(name)} onChange={(event) => day(name, event.currentTarget.checked)} />
                {name}
              </label>
            ))}
            <span class="muted">none: every day</span>
          </div>
        </fieldset>
      )}
    </>
  );
}
