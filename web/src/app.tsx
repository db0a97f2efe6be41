// The frame: navigation, the page, and the question for a key.
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { type PageProps, pages } from "./pages";
import { href, place } from "./router";
import { useStore } from "./store";
import { Jump } from "./ui/jump";
import { KeyPrompt } from "./ui/key-prompt";
import { Side } from "./ui/side";
import { Alarm } from "./ui/parts";

/** The page of a place, and what loads it. */
function of([name = "", ...rest]: string[]) {
  const page = pages.find((page) => page.name === name);
  return { page, rest, load: page && (rest.length && page.one ? page.one : page.load) };
}

// On its way while the frame is being drawn.
void of(place.get().path).load?.().catch(() => {});

export function App() {
  const here = useStore(place);
  const { page, rest, load } = of(here.path);
  const [shown, show] = useState<{ load: unknown; Page: ComponentType<PageProps> } | null>(null);
  const [failed, fail] = useState<Error | null>(null);
  const first = useRef(true);

  useEffect(() => {
    let current = true;
    fail(null);
    load?.().then(
      ({ default: Page }) => current && show({ load, Page }),
      (error: Error) => current && fail(error),
    );
    return () => {
      current = false;
    };
  }, [load]);

  const where = here.path.join("/");
  useEffect(() => {
    document.title = [rest.join("/"), page?.title ?? "Not found", "Penstock"].filter(Boolean).join(" · ");
    // Who moves by keyboard or screen reader goes on at the new page, not at the link that led there.
    if (!first.current) {
      scrollTo(0, 0);
      document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [where]);

  const Page = shown && shown.load === load ? shown.Page : null;
  return (
    <>
      <a class="skip" href="#main" onClick={toMain}>
        Skip to content
      </a>
      <div class="shell">
        <Side page={page} />
        <main id="main" tabIndex={-1}>
          {failed ? (
            <Alarm>
              This page could not be loaded: {failed.message}. If the server was updated meanwhile,{" "}
              <a href={location.href} onClick={() => location.reload()}>
                load it again
              </a>
              .
            </Alarm>
          ) : !page ? (
            <Lost />
          ) : (
            Page && <Page key={where} rest={rest} params={here.params} />
          )}
        </main>
      </div>
      <Jump />
      <KeyPrompt />
    </>
  );
}

/** The address is where we are, so a link to a part of the page would lead away. */
function toMain(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Lost() {
  return (
    <div class="stack">
      <h1>There is no such page</h1>
      <p>
        The address may be of a later version, or mistyped. <a href={href([])}>The overview</a> is there.
      </p>
    </div>
  );
}
