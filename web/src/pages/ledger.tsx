// The account of every reading, and whether it balances.
import { useState } from "preact/hooks";

import { getJson, path } from "../api/client";
import { count, time } from "../format";
import type { PageProps } from "../pages";
import { setParams } from "../router";
import { Alarm, Choices, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";

interface Amounts {
  records: number;
  accepted: number;
  stored: number;
  duplicate: number;
  corrected: number;
  dead_lettered: number;
  late: number;
  shed: number;
  residue: number;
}

interface Line extends Amounts {
  topic?: string;
  minute?: string;
}

interface Account {
  lines: Line[];
  totals: Amounts;
  in_flight: { records: number };
  balanced: boolean;
  reasons: string[];
}

interface Verdict {
  balanced: boolean;
  checks: { equation: string; account: number; found: number; holds: boolean }[];
  reasons: string[];
}

const SPANS = [
  ["1", "1 h"],
  ["24", "24 h"],
  ["168", "7 d"],
  ["all", "All"],
] as const;

const BY = [
  ["topic", "By topic"],
  ["minute", "By minute"],
] as const;

/** Minutes shown: the newest. All of them are in the table `ledger`. */
const MINUTES = 240;

const SUMMANDS = [
  ["stored", "Stored"],
  ["duplicate", "Duplicate"],
  ["dead_lettered", "Dead-lettered"],
  ["late", "Late"],
  ["shed", "Shed"],
] as const;

export default function Ledger({ params }: PageProps) {
  const hours = SPANS.find(([hours]) => hours === params.get("hours"))?.[0] ?? "24";
  const by = BY.find(([by]) => by === params.get("by"))?.[0] ?? "topic";
  const account = useAnswer(
    (signal) => {
      // Minutes by the hundred thousand are nothing to read: of all time they are those of a week.
      const span = hours === "all" && by === "minute" ? "168" : hours;
      const since = span === "all" ? undefined : new Date(Math.floor(Date.now() / 60_000 - Number(span) * 60) * 60_000).toISOString();
      return getJson<Account>(path("/v1/ledger", { by, since }), signal);
    },
    [hours, by],
    5000,
  );
  return (
    <div class="stack">
      <Title aside={<Choices label="Time shown" options={SPANS} value={hours} choose={(hours) => setParams({ hours }, true)} />}>Ledger</Title>
      <Shown of={account}>
        {(account) => (
          <div class="stack">
            <Panel
              title="Every reading that was acknowledged is somewhere"
              flush
              aside={<span class={account.balanced ? "good" : "bad"}>{account.balanced ? "The account balances" : "It does not balance"}</span>}
            >
              <Equation account={account} />
            </Panel>
            {account.reasons.length > 0 && (
              <Alarm>
                <strong>The account does not balance. This is a bug of Penstock's; please report it.</strong>
                {account.reasons.map((reason) => (
                  <p key={reason}>{reason}</p>
                ))}
              </Alarm>
            )}
            <Panel title="Lines" flush aside={<Choices label="Lines" options={BY} value={by} choose={(by) => setParams({ by }, true)} />}>
              <Lines lines={account.lines} />
            </Panel>
          </div>
        )}
      </Shown>
      <Verify />
    </div>
  );
}

function Equation({ account }: { account: Account }) {
  const { totals, in_flight } = account;
  return (
    <div class="equation" role="group" aria-label="accepted is stored, duplicate, dead-lettered, late and shed together">
      <Term name="Accepted" n={totals.accepted} />
      {SUMMANDS.map(([field, name], n) => (
        <>
          <span class="sign" aria-hidden="true">
            {n ? "+" : "="}
          </span>
          <Term name={name} n={totals[field]} tone={field === "dead_lettered" && totals[field] ? "warn" : undefined} />
        </>
      ))}
      <span class="sign" aria-hidden="true">
        ·
      </span>
      <Term name="Residue" n={totals.residue} tone={totals.residue ? "bad" : "good"} />
      <Term name="In flight, records" n={in_flight.records} tone="muted" />
    </div>
  );
}

function Term({ name, n, tone }: { name: string; n: number; tone?: string | undefined }) {
  return (
    <dl>
      <dt>{name}</dt>
      <dd class={tone}>{count(n)}</dd>
    </dl>
  );
}

function Lines({ lines }: { lines: Line[] }) {
  if (!lines.length) {
    return <Note title="Nothing was accepted in this time">A longer time, or all of it, is one click away.</Note>;
  }
  const byMinute = lines[0]!.minute !== undefined;
  const shown = byMinute ? lines.slice(-MINUTES).reverse() : lines;
  return (
    <Scroll label="Lines of the account" tall={byMinute}>
      <table>
        <thead>
          <tr>
            <th scope="col">{byMinute ? "Minute of arrival" : "Topic"}</th>
            <th scope="col" class="n">
              Records
            </th>
            <th scope="col" class="n">
              Accepted
            </th>
            {SUMMANDS.map(([, name]) => (
              <th scope="col" class="n" key={name}>
                {name}
              </th>
            ))}
            <th scope="col" class="n">
              Residue
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map((line) => (
            <tr key={line.topic ?? line.minute} class={line.residue ? "wrong" : undefined}>
              <th scope="row" title={line.minute}>
                {line.topic ?? time(Date.parse(line.minute!))}
              </th>
              <td class="n">{count(line.records)}</td>
              <td class="n">{count(line.accepted)}</td>
              {SUMMANDS.map(([field]) => (
                <td class={line[field] || field === "stored" ? "n" : "n muted"} key={field}>
                  {count(line[field])}
                </td>
              ))}
              <td class={line.residue ? "n" : "n muted"}>{count(line.residue)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > shown.length && (
        <p class="note">
          The newest {MINUTES} minutes of {count(lines.length)}; the table <code>ledger</code> has all.
        </p>
      )}
    </Scroll>
  );
}

function Verify() {
  const [state, set] = useState<{ busy?: boolean; verdict?: Verdict; error?: Error; tookMs?: number }>({});
  const verify = async () => {
    set({ busy: true });
    const began = performance.now();
    try {
      set({ verdict: await getJson<Verdict>("/v1/ledger/verify"), tookMs: performance.now() - began });
    } catch (error) {
      set({ error: error as Error });
    }
  };
  return (
    <Panel
      title="Count again"
      flush
      aside={
        <button class="button main" type="button" disabled={state.busy} onClick={verify}>
          {state.busy ? "Counting …" : "Verify"}
        </button>
      }
    >
      {state.error && (
        <div class="note">
          <Alarm>{state.error.message}</Alarm>
        </div>
      )}
      {state.verdict ? (
        <>
          <div class="note">
            <Alarm fine={state.verdict.balanced}>
              {state.verdict.balanced ? "Everything balances." : state.verdict.reasons.join(" ")} Counted in {Math.round(state.tookMs!)} ms.
            </Alarm>
          </div>
          <Scroll label="What was compared">
            <table>
              <thead>
                <tr>
                  <th scope="col">Must be equal</th>
                  <th scope="col" class="n">
                    By the account
                  </th>
                  <th scope="col" class="n">
                    Counted
                  </th>
                </tr>
              </thead>
              <tbody>
                {state.verdict.checks.map((check) => (
                  <tr key={check.equation} class={check.holds ? undefined : "wrong"}>
                    <td class="wraps">{check.equation}</td>
                    <td class="n">{count(check.account)}</td>
                    <td class="n">{count(check.found)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </>
      ) : (
        !state.error && <Note>Counts the rows of every table and compares them with the account. It reads all there is: on a large store that takes time.</Note>
      )}
    </Panel>
  );
}
