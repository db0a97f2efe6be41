// Questions in SQL, or metrics picked, which writes the SQL. The answer as a table, a chart, or a CSV file.
import { useEffect, useRef, useState } from "preact/hooks";

import { type Table, csv, sql } from "../api/sql";
import { count } from "../format";
import type { PageProps } from "../pages";
import { setParams } from "../router";
import { Alarm, Choices, Note, Panel, Title, save } from "../ui/parts";
import { Builder } from "./explore/builder";
import { Result } from "./explore/result";
import { Schema } from "./explore/schema";

const WAYS = [
  ["metrics", "Pick metrics"],
  ["sql", "Write SQL"],
] as const;

const EXAMPLE = `SELECT time, device_id, metric, value
FROM telemetry
WHERE time >= now() - INTERVAL '10 minutes'
ORDER BY time DESC
LIMIT 100`;

interface State {
  busy?: boolean;
  table?: Table;
  error?: Error;
  tookMs?: number;
}

export default function Explore({ params }: PageProps) {
  const [way, setWay] = useState<"metrics" | "sql">(params.has("q") ? "sql" : "metrics");
  const [text, setText] = useState(params.get("q") ?? EXAMPLE);
  const [state, set] = useState<State>({});
  const box = useRef<HTMLTextAreaElement>(null);
  const running = useRef<AbortController | null>(null);

  useEffect(() => () => running.current?.abort(), []);
  useEffect(() => {
    if (params.has("q")) void run(text);
  }, []);

  const run = async (statement: string) => {
    running.current?.abort();
    const end = new AbortController();
    running.current = end;
    set((old) => ({ ...old, busy: true }));
    const began = performance.now();
    try {
      const table = await sql(statement, [], end.signal);
      set({ table, tookMs: performance.now() - began });
    } catch (error) {
      if (!end.signal.aborted) set({ error: error as Error });
    }
  };
  const ask = (statement: string) => {
    setText(statement);
    setParams({ q: statement }, true);
    void run(statement);
  };
  const download = async () => {
    try {
      save(await csv(text), "penstock.csv");
    } catch (error) {
      set((old) => ({ ...old, error: error as Error }));
    }
  };
  const insert = (name: string) => {
    const { selectionStart: from = text.length, selectionEnd: to = text.length } = box.current ?? {};
    setText(text.slice(0, from) + name + text.slice(to));
    box.current?.focus();
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask(text);
    }
  };

  const answer = (
    <>
      {state.error && <Alarm>{state.error.message}</Alarm>}
      {state.table ? (
        <Result
          table={state.table}
          says={`${count(state.table.rows.length)} rows in ${Math.round(state.tookMs!)} ms`}
          download={download}
        />
      ) : (
        !state.error && (
          <Note title={state.busy ? "Asking …" : "No question yet"}>
            Answers are read-only and bounded: 100 000 rows, 30 seconds. What goes beyond is refused, never cut off.
          </Note>
        )
      )}
    </>
  );
  return (
    <div class="stack">
      <Title aside={<Choices label="How to ask" options={WAYS} value={way} choose={setWay} />}>Explore</Title>
      {way === "metrics" ? (
        <>
          <Builder device={params.get("device") ?? ""} ask={ask} />
          {answer}
        </>
      ) : (
        <div class="explore">
          <div class="stack">
            <Panel title="Statement" aside={<span class="muted">Ctrl+Enter asks</span>}>
              <div class="stack">
                <textarea
                  ref={box}
                  rows={Math.min(Math.max(text.split("\n").length + 1, 7), 20)}
                  spellcheck={false}
                  aria-label="SQL statement"
                  value={text}
                  onInput={(event) => setText(event.currentTarget.value)}
                  onKeyDown={pressed}
                />
                <div class="bar">
                  <button class="button main" type="button" disabled={state.busy} onClick={() => ask(text)}>
                    {state.busy ? "Asking …" : "Ask"}
                  </button>
                  {state.busy && (
                    <button class="button" type="button" onClick={() => (running.current?.abort(), set({}))}>
                      Never mind
                    </button>
                  )}
                </div>
              </div>
            </Panel>
            {answer}
          </div>
          <Schema insert={insert} />
        </div>
      )}
    </div>
  );
}
