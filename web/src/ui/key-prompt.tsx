// Asked for when the server wants credentials. The key stays in this tab until it is closed.
import { useEffect, useRef, useState } from "preact/hooks";

import { type Refused, refused, setKey } from "../api/client";
import { useStore } from "../store";

const WHY: Record<Refused, string> = {
  missing: "This server answers only to who shows a key.",
  wrong: "The server does not know this key. It may be mistyped, or revoked.",
  forbidden: "The server knows this key, but it may not read everything of its tenant, which this interface needs.",
};

export function KeyPrompt() {
  const why = useStore(refused);
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");

  useEffect(() => {
    if (why) dialog.current?.showModal();
    else dialog.current?.close();
  }, [why]);

  /** It comes back: without a key there is nothing to see behind it. */
  const closed = () => refused.get() && dialog.current?.showModal();

  const enter = (event: Event) => {
    event.preventDefault();
    if (!text.trim()) return;
    setKey(text.trim());
    setText("");
  };

  return (
    <dialog ref={dialog} aria-labelledby="key-title" onCancel={(event) => event.preventDefault()} onClose={closed}>
      {why && (
        <form onSubmit={enter}>
          <h2 id="key-title">A key is needed</h2>
          <p role="status">{WHY[why]}</p>
          <label class="field">
            <span>Key</span>
            <input
              type="password"
              name="key"
              autocomplete="off"
              autofocus
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
          <p class="muted">
            On the server's machine, <code>penstock key add dashboard --subscribe '#' --data DIR</code> makes one. It is kept in this
            tab only, until you close it.
          </p>
          <div class="bar">
            <button class="button main" type="submit">
              Use this key
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}
