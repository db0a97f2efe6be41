// Every figure by its name, for who looks for one.
import { useState } from "preact/hooks";

import type { Metrics } from "../../api/prometheus";
import { Note, Panel, Scroll } from "../../ui/parts";

/** Lines on the page at a time. */
const LISTED = 300;

export function All({ now }: { now: Metrics }) {
  const [open, setOpen] = useState(false);
  const [text, setText] = useState("");
  const found = open
    ? now.samples.filter(({ name, labels }) => !name.endsWith("_bucket") && `${name} ${Object.values(labels).join(" ")}`.includes(text.toLowerCase()))
    : [];
  return (
    <Panel
      title="All figures"
      flush
      aside={
        <div class="bar">
          {open && <input type="search" aria-label="Filter figures" placeholder="Filter" value={text} onInput={(event) => setText(event.currentTarget.value)} />}
          <button class="button plain" type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
          </button>
        </div>
      }
    >
      {!open ? (
        <Note>
          As Prometheus gets them from <code>/metrics</code>.
        </Note>
      ) : (
        <Scroll label="All figures" tall>
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Labels</th>
                <th scope="col" class="n">
                  Value
                </th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, LISTED).map(({ name, labels, value }) => (
                <tr key={name + JSON.stringify(labels)}>
                  <td class="mono">{name}</td>
                  <td class="mono">{Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(" ")}</td>
                  <td class="n">{value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}
