// What pages are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

import { ago } from "../format";
import type { Answer } from "./use-answer";

export function Title({ children, aside }: { children: ComponentChildren; aside?: ComponentChildren }) {
  return (
    <div class="title">
      <h1>{children}</h1>
      <span class="grow" />
      {aside}
    </div>
  );
}

export function Panel(props: { title: ComponentChildren; aside?: ComponentChildren; flush?: boolean; children: ComponentChildren }) {
  return (
    <section class="panel">
      <header>
        <h2>{props.title}</h2>
        <span class="grow" />
        {props.aside}
      </header>
      {props.flush ? props.children : <div class="body">{props.children}</div>}
    </section>
  );
}

export function Alarm({ mild, fine, children }: { mild?: boolean; fine?: boolean; children: ComponentChildren }) {
  return (
    <div class={mild ? "alarm mild" : fine ? "alarm fine" : "alarm"} role={fine ? "status" : "alert"}>
      {children}
    </div>
  );
}

export function Note({ title, children }: { title?: string; children?: ComponentChildren }) {
  return (
    <div class="note">
      {title && <strong>{title}</strong>}
      {children}
    </div>
  );
}

/** An answer when it is there; else that it is waited for, or why it will not come. What was there before stays in sight. */
export function Shown<T>(props: { of: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, again } = props.of;
  return (
    <>
      {error && (
        <div class="note">
          <Alarm>
            {error.message}{" "}
            <button class="button plain" type="button" onClick={again}>
              Try again
            </button>
          </Alarm>
        </div>
      )}
      {data !== undefined ? props.children(data) : !error && <p class="note">Loading …</p>}
    </>
  );
}

/** A table that may be wider than its place, and then scrolls by itself. */
export function Scroll({ label, tall, children }: { label: string; tall?: boolean; children: ComponentChildren }) {
  return (
    <div class={tall ? "scroll tall" : "scroll"} role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

export function Choices<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T | null;
  choose: (value: T) => void;
}) {
  return (
    <div class="choices" role="group" aria-label={props.label}>
      {props.options.map(([value, name]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.choose(value)}>
          {name}
        </button>
      ))}
    </div>
  );
}

/** How long ago; the exact time is in the title. Counts on by itself. */
export function Ago({ at }: { at: string | number | null | undefined }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 5000);
    return () => clearInterval(timer);
  }, []);
  if (at === null || at === undefined) return <span class="muted">never</span>;
  const ms = typeof at === "number" ? at : Date.parse(at);
  return (
    <time dateTime={new Date(ms).toISOString()} title={typeof at === "string" ? at : new Date(ms).toISOString()}>
      {ago(ms)}
    </time>
  );
}

export function Figure({ name, note, tone, children }: { name: string; note?: ComponentChildren; tone?: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={tone}>{children}</dd>
      {note !== undefined && <dd class="more">{note}</dd>}
    </div>
  );
}

/** Hands a file to the person. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
