// All rules: what must not happen unseen.
import { useState } from "preact/hooks";

import { type OpenCount, openCounts } from "../api/alerts";
import { type Rule, rules } from "../api/rules";
import { count } from "../format";
import type { PageProps } from "../pages";
import { href } from "../router";
import { Alarm, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { SeverityMark } from "./alerts/marks";
import { Enabled } from "./rules/enabled";

/** Rows that are drawn: the others are found by a part of their name or condition. */
const LISTED = 200;

export default function Rules(_: PageProps) {
  const [text, setText] = useState("");
  const [error, fail] = useState<Error | null>(null);
  const all = useAnswer(rules, [], 10_000);
  const open = useAnswer(openCounts, [], 10_000);
  const word = text.trim().toLowerCase();
  const found = (all.data ?? []).filter((rule) => !word || `${rule.name} ${rule.id} ${rule.when}`.toLowerCase().includes(word));
  return (
    <div class="stack">
      <Title
        aside={
          <a class="button main" href={href(["rules", "New"])}>
            New rule
          </a>
        }
      >
        Rules
      </Title>
      {error && <Alarm>{error.message}</Alarm>}
      <Panel
        title={all.data ? (all.data.length === 1 ? "1 rule" : `${count(all.data.length)} rules`) : "Rules"}
        flush
        aside={
          <input type="search" aria-label="Search rules" placeholder="Name or condition" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        }
      >
        <Shown of={all}>
          {(all_) =>
            all_.length === 0 ? (
              <None />
            ) : found.length === 0 ? (
              <Note title={`No rule has “${text.trim()}” in it`} />
            ) : (
              <>
                <List rules={found.slice(0, LISTED)} open={open.data} again={all.again} fail={fail} />
                {found.length > LISTED && <p class="note">The first {LISTED} of {count(found.length)}: search for the others.</p>}
              </>
            )
          }
        </Shown>
      </Panel>
    </div>
  );
}

function None() {
  return (
    <Note title="There are no rules yet">
      A rule is a condition over what devices send: <code>temperature &gt; 80</code>, <code>no_data('10 minutes')</code>.{" "}
      <a href={href(["rules", "New"])}>Write the first</a>; a dry run shows what it would have done before it tells anybody.
    </Note>
  );
}

function List({ rules, open, again, fail }: { rules: Rule[]; open: OpenCount[] | undefined; again: () => void; fail: (error: Error | null) => void }) {
  return (
    <Scroll label="Rules">
      <table>
        <thead>
          <tr>
            <th scope="col">On</th>
            <th scope="col">Rule</th>
            <th scope="col">When</th>
            <th scope="col">Severity</th>
            <th scope="col">Of</th>
            <th scope="col" class="n">
              Open alerts
            </th>
          </tr>
        </thead>
        <tbody>
          {rules.map((rule) => (
            <tr key={rule.id} class={rule.enabled ? undefined : "past"}>
              <td>
                <Enabled rule={rule} changed={again} fail={fail} />
              </td>
              <th scope="row">
                <a href={href(["rules", rule.id])}>{rule.name}</a>
              </th>
              <td class="wraps mono">
                {rule.when}
                {rule.for && <span class="muted"> for {rule.for}</span>}
              </td>
              <td>
                <SeverityMark severity={rule.severity ?? "warning"} />
              </td>
              <td class="wraps">{scopeOf(rule)}</td>
              <td class="n">
                <Open rule={rule} open={open} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Open({ rule, open }: { rule: Rule; open: OpenCount[] | undefined }) {
  if (!open) return <>–</>;
  const n = open.filter((one) => one.rule_id === rule.id).reduce((sum, one) => sum + one.n, 0);
  return n ? <a href={href(["alerts"], { state: "open", rule: rule.id })}>{count(n)}</a> : <span class="muted">0</span>;
}

function scopeOf({ scope = {}, route }: Rule): preact.ComponentChildren {
  const parts = [
    scope.type && `type ${scope.type}`,
    scope.site && `at ${scope.site}`,
    scope.devices?.join(", "),
    ...Object.entries(scope.tags ?? {}).map(([key, value]) => `${key}=${value}`),
  ].filter(Boolean);
  return (
    <>
      {parts.length ? parts.join("; ") : "all devices"} {route !== undefined && <span class="tag">routes readings</span>}
    </>
  );
}
