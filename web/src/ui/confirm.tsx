// Asks once more before something is gone.
import { useEffect, useRef, useState } from "preact/hooks";

import { Alarm } from "./parts";

export function Remove(props: { what: string; children: preact.ComponentChildren; remove: () => Promise<void>; plain?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [open, setOpen] = useState(false);
  const [error, fail] = useState<Error | null>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  const run = async () => {
    try {
      await props.remove();
      setOpen(false);
    } catch (error) {
      fail(error as Error);
    }
  };
  return (
    <>
      <button class={props.plain ? "button plain" : "button"} type="button" aria-label={`Remove ${props.what}`} onClick={() => setOpen(true)}>
        Remove
      </button>
      <dialog ref={dialog} aria-label={`Remove ${props.what}?`} onClose={() => setOpen(false)}>
        {open && (
          <div class="body">
            <h2>Remove {props.what}?</h2>
            <p>{props.children}</p>
            {error && <Alarm>{error.message}</Alarm>}
            <div class="bar">
              <button class="button main" type="button" onClick={run}>
                Remove it
              </button>
              <button class="button" type="button" onClick={() => setOpen(false)}>
                Keep it
              </button>
            </div>
          </div>
        )}
      </dialog>
    </>
  );
}
