// A field of the form, with what is wrong with it beneath.
import { useEffect, useId, useRef } from "preact/hooks";

import type { Fault, Field as Name } from "./draft";

interface Attributes {
  id: string;
  "aria-invalid"?: "true";
  "aria-describedby"?: string;
}

export function Field(props: { label: string; hint?: preact.ComponentChildren; of: Name; fault: Fault | null; children: (attributes: Attributes) => preact.ComponentChildren }) {
  const id = useId();
  const fault = props.fault?.field === props.of ? props.fault : null;
  const described = [fault && `${id}-fault`, props.hint && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children({ id, ...(fault && { "aria-invalid": "true" as const }), ...(described && { "aria-describedby": described }) })}
      {fault && <Wrong id={`${id}-fault`} fault={fault} />}
      {props.hint && (
        <p class="hint" id={`${id}-hint`}>
          {props.hint}
        </p>
      )}
    </div>
  );
}

export function Wrong({ id, fault }: { id?: string; fault: Fault }) {
  return (
    <div class="alarm" role="alert" id={id}>
      {fault.place && (
        <strong>
          Line {fault.place.line}, column {fault.place.column}:{" "}
        </strong>
      )}
      {fault.message}
      {fault.place && (
        <pre class="place">
          {fault.place.text}
          {"\n"}
          {" ".repeat(fault.place.column - 1)}^
        </pre>
      )}
    </div>
  );
}

/** A condition: SQL of some lines. When something is wrong with it, the cursor goes there. */
export function Condition(props: { label: string; hint?: preact.ComponentChildren; of: "when" | "clear_when"; fault: Fault | null; value: string; required?: boolean; placeholder: string; set: (text: string) => void }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const { fault, of } = props;
  useEffect(() => {
    if (fault?.field !== of || !fault.place || !box.current) return;
    const at = offset(box.current.value, fault.place.line, fault.place.column);
    box.current.focus();
    box.current.setSelectionRange(at, at);
  }, [fault]);
  return (
    <Field label={props.label} hint={props.hint} of={of} fault={fault}>
      {(attributes) => (
        <textarea
          {...attributes}
          ref={box}
          rows={Math.min(Math.max(props.value.split("\n").length, 2), 8)}
          required={props.required ?? false}
          spellcheck={false}
          autocapitalize="off"
          placeholder={props.placeholder}
          value={props.value}
          onInput={(event) => props.set(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** Columns count characters; the browser counts units of UTF-16. */
function offset(text: string, line: number, column: number): number {
  const lines = text.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  return before + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length;
}
