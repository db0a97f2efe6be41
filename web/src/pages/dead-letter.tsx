// One message that could not be used: as it came, mended, tried again.
import { useEffect, useState } from "preact/hooks";

import { Problem, getJson, postJson } from "../api/client";
import { quoted } from "../api/sql";
import { count } from "../format";
import type { PageProps } from "../pages";
import { href } from "../router";
import { Ago, Alarm, Choices, Note, Panel, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { asText, bytesOf, fromHex, hexDump, plainHex, toBase64 } from "./dead-letter/bytes";

export interface Letter {
  id: string;
  device_id: string;
  topic: string;
  stage: string;
  lost: "whole" | "part";
  attempts: number;
  first_at: string;
  last_at: string;
  reasons: { reading: number | null; reason: string }[];
  payload: string;
  payload_encoding: "utf-8" | "base64";
}

/** How long to look for what became of a replay. */
const LOOK_MS = 10_000;

export default function DeadLetter({ rest }: PageProps) {
  const id = rest.join("/");
  const letter = useAnswer((signal) => getJson<Letter>(`/v1/dlq/${encodeURIComponent(id)}`, signal), [id]);
  const gone = letter.error instanceof Problem && letter.error.status === 404;
  return (
    <div class="stack">
      <Title aside={<a href={href(["dead-letters"])}>All dead letters</a>}>Dead letter {id}</Title>
      {gone ? (
        <Note title="It is not among the dead letters">A replay may have put it right, or the address is not of a dead letter.</Note>
      ) : (
        <Shown of={letter}>
          {(letter) => (
            <div class="columns">
              <div class="stack">
                <Payload letter={letter} />
                <Mend key={letter.id} letter={letter} again={again(letter)} />
              </div>
              <About letter={letter} />
            </div>
          )}
        </Shown>
      )}
    </div>
  );
}

function About({ letter }: { letter: Letter }) {
  return (
    <Panel title="What is wrong">
      <div class="stack">
        <ul class="reasons">
          {letter.reasons.map(({ reading, reason }, n) => (
            <li key={n}>
              {reading !== null && <span class="muted">reading {reading}: </span>}
              {reason}
            </li>
          ))}
        </ul>
        <dl class="facts">
          <dt>Stage</dt>
          <dd>
            <span class="tag">{letter.stage}</span>
          </dd>
          <dt>Device</dt>
          <dd>{letter.device_id ? <a href={href(["devices", letter.device_id])}>{letter.device_id}</a> : <span class="muted">not known</span>}</dd>
          <dt>Topic</dt>
          <dd>{letter.topic || <span class="muted">none</span>}</dd>
          <dt>Lost</dt>
          <dd>{letter.lost === "whole" ? "the whole message" : "part of it; its good readings are stored"}</dd>
          <dt>Arrived</dt>
          <dd>
            <Ago at={letter.first_at} />
          </dd>
          <dt>Tried</dt>
          <dd>
            {letter.attempts === 1 ? "once" : `${count(letter.attempts)} times`}, last <Ago at={letter.last_at} />
          </dd>
        </dl>
      </div>
    </Panel>
  );
}

const VIEWS = [
  ["text", "Text"],
  ["hex", "Hex"],
] as const;

function Payload({ letter }: { letter: Letter }) {
  const [view, setView] = useState<"text" | "hex">(letter.payload_encoding === "utf-8" ? "text" : "hex");
  const bytes = bytesOf(letter);
  return (
    <Panel
      title={`As it came, ${count(bytes.length)} bytes`}
      aside={<Choices label="Shown as" options={VIEWS} value={view} choose={setView} />}
    >
      {bytes.length === 0 ? (
        <p class="muted">There are no bytes: the message was empty, or its record is gone from the log.</p>
      ) : (
        <pre class={view === "hex" ? "bytes hex" : "bytes"} tabIndex={0} aria-label={view === "hex" ? "Payload in hexadecimal" : "Payload as text"}>
          {view === "hex" ? hexDump(bytes) : asText(bytes)}
        </pre>
      )}
    </Panel>
  );
}

type Outcome = { kind: "well" | "dead" | "waiting"; text: string };

/** Sends a replay and looks what becomes of it. */
function again(letter: Letter) {
  return async (mended: { payload?: string; payload_base64?: string }): Promise<Outcome> => {
    const said = await postJson<{ replayed: number; skipped: { reason: string }[] }>("/v1/dlq/replay", {
      where: `id = ${quoted(letter.id)}`,
      ...mended,
    });
    if (said.skipped.length) return { kind: "dead", text: `It cannot be replayed: ${said.skipped[0]!.reason}.` };
    const until = Date.now() + LOOK_MS;
    while (Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      try {
        const now = await getJson<Letter>(`/v1/dlq/${encodeURIComponent(letter.id)}`);
        if (now.attempts > letter.attempts) return { kind: "dead", text: `It failed again: ${now.reasons.map(({ reason }) => reason).join("; ")}` };
      } catch (error) {
        if (error instanceof Problem && error.status === 404) return { kind: "well", text: "It is put right: its readings are stored, and it has left the dead letters." };
        throw error;
      }
    }
    return { kind: "waiting", text: "The replay is durable and waits for its turn. Look again in a moment." };
  };
}

function Mend({ letter, again }: { letter: Letter; again: (mended: { payload?: string; payload_base64?: string }) => Promise<Outcome> }) {
  const bytes = bytesOf(letter);
  const isText = letter.payload_encoding === "utf-8";
  const original = isText ? asText(bytes) : plainHex(bytes);
  const [text, setText] = useState(original);
  const [state, set] = useState<{ busy?: boolean; outcome?: Outcome; error?: Error }>({});
  useEffect(() => setText(original), [letter.id]);

  const wrong = isText ? notJson(text, original) : fromHex(text) ? null : "This is no hexadecimal: two digits for each byte.";
  const replay = async (mended: { payload?: string; payload_base64?: string }) => {
    set({ busy: true });
    try {
      set({ outcome: await again(mended) });
    } catch (error) {
      set({ error: error as Error });
    }
  };
  const mended = () => (isText ? { payload: text } : { payload_base64: toBase64(fromHex(text)!) });
  return (
    <Panel title="Mend and try again">
      <div class="stack">
        <label class="field">
          <span>{isText ? "Payload" : "Payload in hexadecimal"}</span>
          <textarea rows={Math.min(Math.max(text.split("\n").length + 1, 5), 18)} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        {wrong && <p class="warn">{wrong}</p>}
        <div class="bar">
          <button class="button main" type="button" disabled={state.busy || text === original || (!isText && wrong !== null)} onClick={() => replay(mended())}>
            Replay mended
          </button>
          <button class="button" type="button" disabled={state.busy} onClick={() => replay({})}>
            Replay as it is
          </button>
          {text !== original && (
            <button class="button plain" type="button" onClick={() => setText(original)}>
              Undo
            </button>
          )}
          {state.busy && <span role="status">Trying …</span>}
        </div>
        {state.outcome && (
          <Alarm fine={state.outcome.kind === "well"} mild={state.outcome.kind !== "well"}>
            {state.outcome.text}
          </Alarm>
        )}
        {state.error && <Alarm>{state.error.message}</Alarm>}
      </div>
    </Panel>
  );
}

/** A hint, not a barrier: a payload need not be JSON. */
function notJson(text: string, original: string): string | null {
  if (text === original || !/^\s*[[{]/.test(text)) return null;
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return `Not JSON as one document: ${(error as Error).message}`;
  }
}
