// One rule: written, tried, changed, removed. `New` stands for one that is not there yet: ids have no capital letters.
import { useState } from "preact/hooks";

import { Problem } from "../api/client";
import { type Rule, keep, removeRule, rule as oneRule } from "../api/rules";
import type { PageProps } from "../pages";
import { goIfStill, href } from "../router";
import { Remove } from "../ui/confirm";
import { Alarm, Note, Panel, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { BLANK, type Draft, type Fault, documentOf, draftOf, faultOf } from "./rule/draft";
import { Wrong } from "./rule/field";
import { RuleFields } from "./rule/form";
import { TrialPanel } from "./rule/trial";
import { Enabled } from "./rules/enabled";

export default function RulePage({ rest }: PageProps) {
  const id = rest.join("/");
  const goOn = goIfStill();
  const all = <a href={href(["rules"])}>All rules</a>;
  if (id === "New") {
    return (
      <div class="stack">
        <Title aside={all}>New rule</Title>
        <Editor rule={null} kept={(rule) => goOn(["rules", rule.id])} />
      </div>
    );
  }
  return <Kept id={id} aside={all} />;
}

function Kept({ id, aside }: { id: string; aside: preact.ComponentChildren }) {
  const goOn = goIfStill();
  // Asked once, not again and again: somebody may be writing.
  const found = useAnswer((signal) => oneRule(id, signal), [id]);
  const [error, fail] = useState<Error | null>(null);
  const [said, say] = useState("");
  const gone = found.error instanceof Problem && found.error.status === 404;
  const rule = found.data;
  const kept = (next: Rule) => {
    say(next.version === rule?.version ? "Nothing was different: the version stays." : `Kept as version ${next.version}. It is evaluated from now on.`);
    found.again();
  };
  return (
    <div class="stack">
      <Title
        aside={
          <>
            {rule && <Enabled rule={rule} changed={found.again} fail={fail} named />}
            {rule && (
              <a class="button" href={href(["alerts"], { rule: id })}>
                Its alerts
              </a>
            )}
            {rule && (
              <Remove what={`the rule “${rule.name}”`} remove={() => removeRule(id).then(() => goOn(["rules"]))}>
                It is evaluated no longer, and what it has raised ends. Its alerts stay, with what they said.
              </Remove>
            )}
            {aside}
          </>
        }
      >
        {rule?.name ?? id}
      </Title>
      {error && <Alarm>{error.message}</Alarm>}
      {said && <Alarm fine>{said}</Alarm>}
      {gone ? (
        <Note title="There is no such rule">It may have been removed; its alerts are there still.</Note>
      ) : (
        <Shown of={found}>{(rule) => <Editor key={rule.version} rule={rule} kept={kept} />}</Shown>
      )}
    </div>
  );
}

function Editor({ rule, kept }: { rule: Rule | null; kept: (rule: Rule) => void }) {
  const [first] = useState<Draft>(() => (rule ? draftOf(rule) : BLANK));
  const [draft, setDraft] = useState(first);
  const [fault, setFault] = useState<Fault | null>(null);
  const [busy, setBusy] = useState(false);
  const changed = JSON.stringify(draft) !== JSON.stringify(first);
  const set = (change: Partial<Draft>) => setDraft((old) => ({ ...old, ...change }));

  const submit = async (event: Event) => {
    event.preventDefault();
    const { document, fault } = documentOf(draft);
    if (fault) return setFault(fault);
    setBusy(true);
    setFault(null);
    try {
      kept(await keep(rule?.id ?? null, document));
    } catch (error) {
      setFault(faultOf((error as Error).message));
    }
    setBusy(false);
  };
  return (
    <div class="stack">
      <Panel title={rule ? `Version ${rule.version}, in force` : "What must not happen unseen"}>
        <form class="stack" onSubmit={submit}>
          <RuleFields draft={draft} set={set} fault={fault} />
          {fault && fault.field === null && <Wrong fault={fault} />}
          <div class="bar">
            <button class="button main" type="submit" disabled={busy || (rule !== null && !changed)}>
              {busy ? "Keeping …" : rule ? "Keep as a new version" : "Keep and evaluate"}
            </button>
            {rule && changed && (
              <button class="button plain" type="button" onClick={() => setDraft(first)}>
                Undo
              </button>
            )}
          </div>
        </form>
      </Panel>
      <TrialPanel id={rule?.id ?? null} written={() => documentOf(draft)} changed={changed} refused={setFault} />
    </div>
  );
}
