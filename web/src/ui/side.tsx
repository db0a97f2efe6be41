import { useEffect, useState } from "preact/hooks";

import { key, setKey } from "../api/client";
import { zone } from "../format";
import mark from "../mark.svg";
import { type Page, pages } from "../pages";
import { href, place } from "../router";
import { useStore } from "../store";
import { type Choice, choice, choose } from "../theme";
import { JumpButton } from "./jump";

export function Side({ page }: { page: Page | undefined }) {
  const [open, setOpen] = useState(false);
  const here = useStore(place);
  const shown = useStore(key);
  useEffect(() => setOpen(false), [here]);
  const groups = [...new Set(pages.map((page) => page.group))];
  return (
    <header class={open ? "side open" : "side"}>
      <div class="top">
        <a class="brand" href={href([])}>
          <img src={mark} alt="" />
          Penstock
        </a>
        <button class="button menu" type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          Menu
        </button>
      </div>
      <div class="folds rest">
        <JumpButton />
        <nav class="nav" aria-label="Pages">
          {groups.map((group) => (
            <div key={group}>
              <h2>{group}</h2>
              <ul>
                {pages
                  .filter((one) => one.group === group)
                  .map((one) => (
                    <li key={one.name}>
                      <a href={href(one.name ? [one.name] : [])} aria-current={one === page ? "page" : undefined}>
                        {one.title}
                      </a>
                    </li>
                  ))}
              </ul>
            </div>
          ))}
        </nav>
        <div class="foot">
          <Theme />
          <span>Times in {zone}</span>
          <a href="licenses.txt">Licences</a>
          {shown && (
            <button class="button" type="button" onClick={() => setKey("")}>
              Forget the key
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

function Theme() {
  const now = useStore(choice);
  return (
    <label class="field">
      <span>Appearance</span>
      <select value={now} onChange={(event) => choose(event.currentTarget.value as Choice)}>
        <option value="system">As the system</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}
