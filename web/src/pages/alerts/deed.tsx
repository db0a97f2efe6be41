// Acknowledging, resolving and muting, with a name and a remark.
import { useEffect, useRef, useState } from "preact/hooks";

import { type Alert, mute, settle } from "../../api/alerts";
import { time } from "../../format";
import { useStore } from "../../store";
import { Alarm } from "../../ui/parts";
import { setWho, signed, who } from "../../who";

export type Deed = "ack" | "resolve" | "mute";

export const DEEDS: Record<Deed, string> = { ack: "Acknowledge", resolve: "Resolve", mute: "Mute" };

const HOUR_MS = 3_600_000;

/** Longest remark, as the server takes it; bytes there, so that some letters count twice. */
const REMARK = 500;

export interface Done {
  deed: Deed;
  /** What became of it, in words. */
  said: string;
}

/** Does it. The answer says what came of it. */
async function perform(alert: Alert, deed: Deed, remark: string, untilMs: number): Promise<Done> {
  const said = { by: signed(), ...(remark && { remark }) };
  if (deed === "mute") {
    await mute(alert, untilMs, said);
    return { deed, said: `${alert.rule} of ${alert.device_id} is muted until ${time(untilMs)}. What is raised meanwhile is kept here and told nobody.` };
  }
  await settle(alert, deed, said);
  return { deed, said: deed === "ack" ? `${alert.rule} of ${alert.device_id} is acknowledged by ${said.by}.` : `${alert.rule} of ${alert.device_id} is resolved.` };
}

/** A button does it without more words. */
export function performPlainly(alert: Alert, deed: "ack"): Promise<Done> {
  return perform(alert, deed, "", 0);
}

export function DeedForm({ alert, deeds, done, aside }: { alert: Alert; deeds: Deed[]; done: (done: Done) => void; aside?: preact.ComponentChildren }) {
  const name = useStore(who);
  const [remark, setRemark] = useState("");
  const [length, setLength] = useState("1");
  const [until, setUntil] = useState(() => local(Date.now() + 24 * HOUR_MS));
  const [state, set] = useState<{ busy?: boolean; error?: Error }>({});

  const run = async (deed: Deed) => {
    const untilMs = length === "until" ? Date.parse(until) : Date.now() + Number(length) * HOUR_MS;
    if (deed === "mute" && !(untilMs > Date.now())) return set({ error: new Error("The end of a mute lies before us: choose a later one.") });
    set({ busy: true });
    try {
      const said = await perform(alert, deed, remark.trim(), untilMs);
      setRemark("");
      set({});
      done(said);
    } catch (error) {
      set({ error: error as Error });
    }
  };
  const submit = (event: Event) => {
    event.preventDefault();
    void run(deeds[0]!);
  };
  return (
    <form class="stack" onSubmit={submit}>
      <div class="halves narrow">
        <label class="field">
          <span>Your name, for the history</span>
          <input type="text" maxLength={100} autocomplete="name" placeholder="web" value={name} onInput={(event) => setWho(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>Remark, if there is one</span>
          <input type="text" maxLength={REMARK} value={remark} onInput={(event) => setRemark(event.currentTarget.value)} />
        </label>
      </div>
      <div class="bar">
        {deeds.map((deed, n) => (
          <button
            key={deed}
            class={n === 0 ? "button main" : "button"}
            type={n === 0 ? "submit" : "button"}
            disabled={state.busy}
            onClick={n === 0 ? undefined : () => run(deed)}
          >
            {DEEDS[deed]}
          </button>
        ))}
        {deeds.includes("mute") && <Length length={length} setLength={setLength} until={until} setUntil={setUntil} />}
        {aside}
      </div>
      {state.error && <Alarm>{state.error.message}</Alarm>}
    </form>
  );
}

interface LengthProps {
  /** Hours, or `until`. */
  length: string;
  setLength: (length: string) => void;
  until: string;
  setUntil: (until: string) => void;
}

function Length({ length, setLength, until, setUntil }: LengthProps) {
  return (
    <>
      <select aria-label="Mute for" value={length} onChange={(event) => setLength(event.currentTarget.value)}>
        <option value="1">for 1 hour</option>
        <option value="8">for 8 hours</option>
        <option value="until">until …</option>
      </select>
      {length === "until" && (
        <input type="datetime-local" aria-label="Mute until" required value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
      )}
    </>
  );
}

/** The same, of one row of a list. */
export function DeedDialog({ of, leave, done }: { of: { alert: Alert; deed: Deed } | null; leave: () => void; done: (done: Done) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (of) dialog.current?.showModal();
    else dialog.current?.close();
  }, [of]);
  return (
    <dialog ref={dialog} aria-labelledby="deed-title" onClose={leave}>
      {of && (
        <div class="body">
          <h2 id="deed-title">
            {DEEDS[of.deed]} {of.alert.rule} of {of.alert.device_id}
          </h2>
          <DeedForm
            alert={of.alert}
            deeds={[of.deed]}
            done={done}
            aside={
              <button class="button" type="button" onClick={leave}>
                Leave it
              </button>
            }
          />
        </div>
      )}
    </dialog>
  );
}

/** A time as the browser's field for one writes it, in its own zone. */
function local(ms: number): string {
  const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 16);
}
