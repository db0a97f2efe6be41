// How bad, and where it stands.
import type { Alert, Severity } from "../../api/alerts";
import { count } from "../../format";

const TONES: Record<Severity, string> = { info: "tag", warning: "tag warn", critical: "tag bad strong" };

/** The worst first. */
export const SEVERITIES = ["critical", "warning", "info"] as const;

export function SeverityMark({ severity }: { severity: Severity }) {
  return <span class={TONES[severity]}>{severity}</span>;
}

/** Words of the server, and what people call them. */
export const STATES = { raised: "raised", acknowledged: "acknowledged", resolved: "resolved", suppressed: "held back" } as const;

export function StateMark({ alert, past }: { alert: Alert; past?: boolean }) {
  return (
    <>
      {past ? <span class="muted">no longer here</span> : <span class={alert.state === "raised" ? "strong" : "muted"}>{STATES[alert.state]}</span>}
      {alert.muted_by && <span class="tag">muted</span>}
      {alert.retrospective && <span class="tag">afterwards</span>}
    </>
  );
}

export function heldBack(n: number): string {
  return n === 1 ? "and 1 more, held back" : `and ${count(n)} more, held back`;
}
