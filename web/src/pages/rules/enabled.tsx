import { useState } from "preact/hooks";

import { type Rule, enable } from "../../api/rules";

/** Whether a rule is evaluated. Shows what the server says, not what was clicked. */
export function Enabled({ rule, changed, fail, named }: { rule: Rule; changed: () => void; fail: (error: Error | null) => void; named?: boolean }) {
  const [busy, setBusy] = useState(false);
  const turn = async (event: Event & { currentTarget: HTMLInputElement }) => {
    const wanted = event.currentTarget.checked;
    event.currentTarget.checked = rule.enabled;
    setBusy(true);
    try {
      await enable(rule.id, wanted);
      fail(null);
      changed();
    } catch (error) {
      fail(error as Error);
    }
    setBusy(false);
  };
  return (
    <label class="switch">
      <input type="checkbox" role="switch" aria-label={named ? undefined : `${rule.name} is on`} checked={rule.enabled} disabled={busy} onChange={turn} />
      {named && <span>{rule.enabled ? "on" : "off"}</span>}
    </label>
  );
}
