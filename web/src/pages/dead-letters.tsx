// What could not be used, why, and trying it again.
import { useState } from "preact/hooks";

import { postJson } from "../api/client";
import { quoted, rows } from "../api/sql";
import { count } from "../format";
import type { PageProps } from "../pages";
import { href, setParams } from "../router";
import { Ago, Alarm, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer, useRested } from "../ui/use-answer";

const PAGE = 50;

interface Letter {
  id: string;
  device_id: string;
  topic: string;
  stage: string;
  reason: string;
  letters: number;
  attempts: number;
  last_at: string;
}

export default function DeadLetters({ params }: PageProps) {
  const stage = params.get("stage") ?? "";
  const [text, setText] = useState(params.get("q") ?? "");
  const wanted = useRested(text.trim());
  const page = Math.max(Number(params.get("page")) || 1, 1);
  const where = condition(stage, wanted);

  const stages = useAnswer(
    (signal) =>
      rows<{ stage: string; n: number }>("SELECT stage, count(DISTINCT id) AS n FROM dlq GROUP BY stage ORDER BY stage", [], signal),
    [],
    10_000,
  );
  const found = useAnswer(
    (signal) =>
      rows<Letter>(
        `SELECT id, min(device_id) AS device_id, min(topic) AS topic, min(stage) AS stage, min(reason) AS reason,
         count(*) AS letters, max(attempts) AS attempts, max(last_at) AS last_at
         FROM dlq WHERE ${where} GROUP BY id ORDER BY last_at DESC, id LIMIT ${PAGE + 1} OFFSET ${(page - 1) * PAGE}`,
        [],
        signal,
      ),
    [where, page],
    5000,
  );
  const all = stages.data?.reduce((sum, { n }) => sum + n, 0);
  const more = (found.data?.length ?? 0) > PAGE;
  return (
    <div class="stack">
      <Title>Dead letters</Title>
      <Panel
        title={all === undefined ? "Messages" : all === 1 ? "1 message" : `${count(all)} messages`}
        flush
        aside={
          <div class="bar">
            <select aria-label="Stage" value={stage} onChange={(event) => setParams({ stage: event.currentTarget.value, page: null }, true)}>
              <option value="">All stages</option>
              {stages.data?.map(({ stage, n }) => (
                <option key={stage} value={stage}>
                  {stage} ({count(n)})
                </option>
              ))}
            </select>
            <input
              type="search"
              aria-label="Search dead letters"
              placeholder="Device, topic or reason"
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </div>
        }
      >
        <Shown of={found}>
          {(letters) =>
            letters.length ? (
              <List letters={letters.slice(0, PAGE)} />
            ) : stage || wanted ? (
              <Note title="No dead letter is like this" />
            ) : (
              <Note title="There are no dead letters">Every message that was acknowledged could be read, and its readings are stored.</Note>
            )
          }
        </Shown>
      </Panel>
      {(page > 1 || more) && (
        <nav class="bar" aria-label="Pages of the list">
          <button class="button" type="button" disabled={page === 1} onClick={() => setParams({ page: page - 1 })}>
            Back
          </button>
          <button class="button" type="button" disabled={!more} onClick={() => setParams({ page: page + 1 })}>
            Next
          </button>
        </nav>
      )}
      {Boolean(found.data?.length) && <ReplayAll where={where} again={found.again} narrowed={Boolean(stage || wanted)} />}
    </div>
  );
}

/** A condition on the table `dlq`, which the list and the replay share. */
function condition(stage: string, text: string): string {
  const parts = [
    stage && `stage = ${quoted(stage)}`,
    text && `strpos(lower(concat_ws(' ', device_id, topic, reason)), ${quoted(text.toLowerCase())}) > 0`,
  ];
  return parts.filter(Boolean).join(" AND ") || "true";
}

function List({ letters }: { letters: Letter[] }) {
  return (
    <Scroll label="Dead letters">
      <table>
        <thead>
          <tr>
            <th scope="col">Message</th>
            <th scope="col">Stage</th>
            <th scope="col">Reason</th>
            <th scope="col">Device or topic</th>
            <th scope="col" class="n">
              Tried
            </th>
            <th scope="col" class="n">
              Last
            </th>
          </tr>
        </thead>
        <tbody>
          {letters.map((letter) => (
            <tr key={letter.id}>
              <th scope="row">
                <a href={href(["dead-letters", letter.id])}>{letter.id}</a>
              </th>
              <td>
                <span class="tag">{letter.stage}</span>
              </td>
              <td class="wraps">
                {letter.reason}
                {letter.letters > 1 && <span class="muted"> and {count(letter.letters - 1)} more</span>}
              </td>
              <td>{letter.device_id ? <a href={href(["devices", letter.device_id])}>{letter.device_id}</a> : letter.topic || "–"}</td>
              <td class="n">{count(letter.attempts)}</td>
              <td class="n">
                <Ago at={letter.last_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

interface Replayed {
  replayed: number;
  skipped: { id: string; reason: string }[];
  more: boolean;
}

function ReplayAll({ where, again, narrowed }: { where: string; again: () => void; narrowed: boolean }) {
  const [state, set] = useState<{ busy?: boolean; done?: Replayed; error?: Error }>({});
  const replay = async () => {
    set({ busy: true });
    try {
      set({ done: await postJson<Replayed>("/v1/dlq/replay", { where }) });
      again();
    } catch (error) {
      set({ error: error as Error });
    }
  };
  return (
    <Panel title="Try again as they are">
      <div class="stack">
        <p class="muted">
          After the cause is gone: a schema registered, a limit widened, a budget raised. Those that fail once more stay, with one attempt more.
        </p>
        <div class="bar">
          <button class="button" type="button" disabled={state.busy} onClick={replay}>
            {state.busy ? "Replaying …" : narrowed ? "Replay those found" : "Replay all"}
          </button>
          {state.done && (
            <span role="status">
              {count(state.done.replayed)} replayed{state.done.skipped.length > 0 && `, ${count(state.done.skipped.length)} not: ${state.done.skipped[0]!.reason}`}
              {state.done.more && "; there are more, replay again"}
            </span>
          )}
        </div>
        {state.error && <Alarm>{state.error.message}</Alarm>}
      </div>
    </Panel>
  );
}
