// What a rule says, field by field.
import type { Severity } from "../../api/alerts";
import { SEVERITIES } from "../alerts/marks";
import type { Draft, Fault } from "./draft";
import { Condition, Field } from "./field";
import { NotifyList } from "./notify";

export interface FormProps {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  fault: Fault | null;
}

export function RuleFields({ draft, set, fault }: FormProps) {
  const text = (key: "name" | "hold", placeholder: string) => (attributes: object) => (
    <input {...attributes} type="text" required={key === "name"} placeholder={placeholder} value={draft[key]} onInput={(event) => set({ [key]: event.currentTarget.value })} />
  );
  return (
    <>
      <Field label="Name" of="name" fault={fault}>
        {text("name", "Motor too hot")}
      </Field>
      <Condition
        label="When"
        of="when"
        required
        fault={fault}
        placeholder="temperature > 80"
        value={draft.when}
        set={(when) => set({ when })}
        hint={
          <>
            Metrics, what is known of devices, windows: <code>avg(vibration, '5 minutes') &gt; 1.5 AND device.type = 'motor'</code>, <code>no_data('10 minutes')</code>,{" "}
            <code>rate(energy, '1 hour') &lt; 0</code>
          </>
        }
      />
      <div class="halves">
        <Field label="For: how long it must hold" of="for" fault={fault} hint="5m, 1h30m; empty: at once">
          {text("hold", "at once")}
        </Field>
        <Condition
          label="Over when"
          of="clear_when"
          fault={fault}
          placeholder="temperature < 75"
          value={draft.clear_when}
          set={(clear_when) => set({ clear_when })}
          hint="Empty: as soon as the condition does not hold"
        />
      </div>
      <div class="halves">
        <Field label="Severity" of="severity" fault={fault}>
          {(attributes) => (
            <select {...attributes} value={draft.severity} onChange={(event) => set({ severity: event.currentTarget.value as Severity })}>
              {[...SEVERITIES].reverse().map((severity) => (
                <option key={severity} value={severity}>
                  {severity}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Told" of="class" fault={fault}>
          {(attributes) => (
            <select {...attributes} value={draft.class} onChange={(event) => set({ class: event.currentTarget.value as Draft["class"] })}>
              <option value="critical">at once</option>
              <option value="batched">with others, every few minutes</option>
            </select>
          )}
        </Field>
      </div>
      <ScopeFields draft={draft} set={set} fault={fault} />
      <NotifyList draft={draft} set={set} fault={fault} />
      <Advanced draft={draft} set={set} fault={fault} />
    </>
  );
}

function ScopeFields({ draft, set, fault }: FormProps) {
  const field = (key: "type" | "site" | "devices" | "tags", label: string, placeholder: string) => (
    <label class="field">
      <span>{label}</span>
      <input type="text" placeholder={placeholder} value={draft[key]} onInput={(event) => set({ [key]: event.currentTarget.value })} />
    </label>
  );
  const wrong = fault?.field === "scope";
  return (
    <fieldset aria-describedby={wrong ? "scope-fault" : undefined}>
      <legend>Of which devices; nothing here: of all</legend>
      <div class="halves">
        {field("type", "Type", "motor")}
        {field("site", "Site", "hamburg")}
        {field("devices", "Names, with commas; * is any text", "press-*, pump-7")}
        {field("tags", "Tags, with commas", "line=3, hall=north")}
      </div>
      {wrong && (
        <div class="alarm" role="alert" id="scope-fault">
          {fault.message}
        </div>
      )}
    </fieldset>
  );
}

function Advanced({ draft, set, fault }: FormProps) {
  return (
    <details open={Boolean(draft.rest) || fault?.field === "rest"}>
      <summary>Advanced</summary>
      <Field
        label="The rest of the rule, as JSON"
        of="rest"
        fault={fault}
        hint={
          <>
            <code>suppress</code>, <code>schedule</code>, <code>retrospective</code>, <code>route</code>:{" "}
            <code>{`{"suppress": "10m", "schedule": {"days": ["mon", "fri"], "from": "06:00", "to": "22:00", "tz": "Europe/Berlin"}}`}</code>
          </>
        }
      >
        {(attributes) => (
          <textarea
            {...attributes}
            rows={Math.min(Math.max(draft.rest.split("\n").length, 3), 14)}
            spellcheck={false}
            autocapitalize="off"
            value={draft.rest}
            onInput={(event) => set({ rest: event.currentTarget.value })}
          />
        )}
      </Field>
    </details>
  );
}
