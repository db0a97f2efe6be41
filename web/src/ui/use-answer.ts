// Asks the server something, again when it changes what is asked, and again every so often while somebody looks.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { key } from "../api/client";
import { useStore } from "../store";

export interface Answer<T> {
  data: T | undefined;
  error: Error | undefined;
  /** Nothing to show yet, or what is shown answers an earlier question. */
  pending: boolean;
  again: () => void;
}

export function useAnswer<T>(ask: (signal: AbortSignal) => Promise<T>, asked: unknown[], everyMs?: number): Answer<T> {
  const [state, set] = useState<{ data?: T; error?: Error; pending: boolean }>({ pending: true });
  const [turn, setTurn] = useState(0);
  const shown = useStore(key);
  const current = useRef(ask);
  current.current = ask;
  const askedWith = useRef(shown);

  // Asked before the browser paints: the answer is on its way meanwhile.
  useLayoutEffect(() => {
    const end = new AbortController();
    let timer: number | undefined;
    // What one key showed is not for who has another, or none.
    const same = askedWith.current === shown;
    askedWith.current = shown;
    set((old) => (same ? { ...old, pending: true } : { pending: true }));
    const once = async () => {
      try {
        const data = await current.current(end.signal);
        if (!end.signal.aborted) set({ data, pending: false });
      } catch (error) {
        if (!end.signal.aborted) set((old) => ({ ...old, error: error as Error, pending: false }));
      }
      if (everyMs && !end.signal.aborted) timer = window.setTimeout(whenSeen, everyMs);
    };
    const whenSeen = () => {
      if (document.visibilityState === "visible") void once();
      else document.addEventListener("visibilitychange", whenSeen, { once: true });
    };
    void once();
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", whenSeen);
    };
  }, [...asked, turn, everyMs, shown]);

  const again = useCallback(() => setTurn((n) => n + 1), []);
  return { data: state.data, error: state.error, pending: state.pending, again };
}

/** A value that follows another once that has rested: what is typed is not asked for letter by letter. */
export function useRested<T>(value: T, restMs = 200): T {
  const [rested, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), restMs);
    return () => clearTimeout(timer);
  }, [value, restMs]);
  return rested;
}
