// Ctrl+K: to a page or a device by its name.
import { useEffect, useRef, useState } from "preact/hooks";

import { rows } from "../api/sql";
import { pages } from "../pages";
import { href } from "../router";
import { Store, useStore } from "../store";
import { useAnswer, useRested } from "./use-answer";

const mac = navigator.platform.startsWith("Mac");

const open = new Store(false);

addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    open.set(true);
  }
});

export function JumpButton() {
  return (
    <button class="jump" type="button" onClick={() => open.set(true)}>
      <span>Go to …</span>
      <kbd>{mac ? "⌘K" : "Ctrl K"}</kbd>
    </button>
  );
}

export function Jump() {
  const dialog = useRef<HTMLDialogElement>(null);
  const now = useStore(open);
  useEffect(() => {
    if (now) dialog.current?.showModal();
    else dialog.current?.close();
  }, [now]);
  return (
    <dialog class="jumping" ref={dialog} aria-label="Go to a page or device" onClose={() => open.set(false)}>
      {now && <Search leave={() => open.set(false)} />}
    </dialog>
  );
}

function Search({ leave }: { leave: () => void }) {
  const [text, setText] = useState("");
  const list = useRef<HTMLUListElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const wanted = useRested(text.trim().toLowerCase(), 120);
  const devices = useAnswer(
    (signal) =>
      wanted
        ? rows<{ id: string }>("SELECT id FROM devices WHERE strpos(lower(id), ?) > 0 ORDER BY length(id), id LIMIT 12", [wanted], signal)
        : Promise.resolve([]),
    [wanted],
  );
  useEffect(() => input.current?.focus(), []);
  const found = [
    ...pages
      .filter((page) => page.title.toLowerCase().includes(wanted))
      .map((page) => ({ to: href(page.name ? [page.name] : []), name: page.title, kind: "page" })),
    ...(devices.data ?? []).map(({ id }) => ({ to: href(["devices", id]), name: id, kind: "device" })),
  ];

  /** Arrows move through what was found, as in a menu. */
  const move = (event: KeyboardEvent) => {
    const links = [...(list.current?.querySelectorAll("a") ?? [])];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    if (event.key === "ArrowDown") (links[at + 1] ?? links[0])?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? links[at - 1] : input.current)?.focus();
    else if (event.key === "Enter" && at < 0) links[0]?.click();
    else return;
    event.preventDefault();
  };

  return (
    <div class="body" onKeyDown={move}>
      <input
        ref={input}
        type="search"
        aria-label="Page or device"
        placeholder="A page, or part of a device's name"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {found.length ? (
        <ul class="found" ref={list}>
          {found.map(({ to, name, kind }) => (
            <li key={to}>
              <a href={to} onClick={leave}>
                <span>{name}</span>
                <span class="muted">{kind}</span>
              </a>
            </li>
          ))}
        </ul>
      ) : (
        <p class="muted">{devices.pending ? "Looking …" : (devices.error?.message ?? "No page and no device has this in its name.")}</p>
      )}
    </div>
  );
}
