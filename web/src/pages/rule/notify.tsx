import { href } from "../../router";
import { type Draft, WAYS } from "./draft";
import { Wrong } from "./field";
import type { FormProps } from "./form";

/** As many as the server takes of a rule's ways are more than anybody writes by hand; a screen full here. */
const MOST = 16;

/** Whom the rule tells beside the people who want to hear of it. */
export function NotifyList({ draft, set, fault }: FormProps) {
  const change = (at: number, next: Partial<Draft["notify"][number]>) => set({ notify: draft.notify.map((one, n) => (n === at ? { ...one, ...next } : one)) });
  return (
    <fieldset>
      <legend>Who is told</legend>
      <p class="muted">
        <a href={href(["people"])}>People</a> say themselves of which alerts they want to hear. Whoever stands here is told of every alert of this rule.
      </p>
      {draft.notify.map(({ way, address }, at) => (
        <div class="bar" key={at}>
          <select aria-label={`Way ${at + 1}`} value={way} onChange={(event) => change(at, { way: event.currentTarget.value })}>
            {WAYS.map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
          <input
            type="text"
            class="long"
            aria-label={`Address ${at + 1}`}
            placeholder={WAYS.find(([name]) => name === way)?.[2] ?? ""}
            value={address}
            onInput={(event) => change(at, { address: event.currentTarget.value })}
          />
          <button class="button plain" type="button" aria-label={`Remove way ${at + 1}`} onClick={() => set({ notify: draft.notify.filter((_, n) => n !== at) })}>
            Remove
          </button>
        </div>
      ))}
      {draft.notify.length < MOST && (
        <button class="button" type="button" onClick={() => set({ notify: [...draft.notify, { way: "email", address: "" }] })}>
          Add a way
        </button>
      )}
      {fault?.field === "notify" && <Wrong fault={fault} />}
    </fieldset>
  );
}
