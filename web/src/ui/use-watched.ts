// Looks at something again and again, and keeps the look before: what grew between the two is a rate.
import { useEffect, useState } from "preact/hooks";

import { useAnswer } from "./use-answer";

export interface Watched<T> {
  now: T | null;
  before: T | null;
  /** All looks since the page was opened, at most `KEPT`. */
  past: T[];
  error: Error | undefined;
  again: () => void;
}

const KEPT = 240;

export function useWatched<T>(look: (signal: AbortSignal) => Promise<T>, everyMs: number): Watched<T> {
  const { data, error, again } = useAnswer(look, [], everyMs);
  const [past, setPast] = useState<T[]>([]);
  useEffect(() => {
    if (data !== undefined) setPast((past) => [...past, data].slice(-KEPT));
  }, [data]);
  return { now: past.at(-1) ?? null, before: past.at(-2) ?? null, past, error, again };
}
