// A list that is refreshed under somebody's hand: while the pointer or the keyboard is in it, nothing moves. What is new waits above,
// what has left stays in its row, so that nobody hits the row that slid there.
import { useRef, useState } from "preact/hooks";

export interface Steady<T> {
  shown: T[];
  /** Ids of those that the list no longer has. */
  past: Set<string>;
  /** How many wait. */
  waiting: number;
  /** Takes what is new. */
  take: () => void;
  /** For the element around the list. */
  hold: { ref: preact.RefObject<HTMLDivElement | null>; onPointerEnter: () => void; onPointerLeave: () => void };
}

export function useSteady<T extends { id: string }>(fresh: T[]): Steady<T> {
  const [hovered, hover] = useState(false);
  const [, again] = useState(0);
  const ref = useRef<HTMLDivElement>(null);
  const kept = useRef<T[]>(fresh);
  const focused = ref.current?.querySelector(":focus-visible");
  const isHeld = (hovered || Boolean(focused)) && kept.current.length > 0;
  const now = isHeld ? held(kept.current, fresh) : { shown: fresh, waiting: 0 };
  kept.current = now.shown;
  const ids = new Set(fresh.map(({ id }) => id));
  const take = () => {
    kept.current = fresh;
    again((n) => n + 1);
  };
  return {
    shown: now.shown,
    past: new Set(now.shown.map(({ id }) => id).filter((id) => !ids.has(id))),
    waiting: now.waiting,
    take,
    hold: { ref, onPointerEnter: () => hover(true), onPointerLeave: () => hover(false) },
  };
}

/** Rows stay where they are, with what is known of them now; those that belong below the last one are added there. */
function held<T extends { id: string }>(kept: T[], fresh: T[]): { shown: T[]; waiting: number } {
  const by = new Map(fresh.map((one) => [one.id, one]));
  const known = new Set(kept.map(({ id }) => id));
  const last = fresh.findLastIndex(({ id }) => known.has(id));
  const added = last < 0 ? [] : fresh.slice(last + 1);
  const waiting = (last < 0 ? fresh : fresh.slice(0, last)).filter(({ id }) => !known.has(id)).length;
  return { shown: [...kept.map((one) => by.get(one.id) ?? one), ...added], waiting };
}
