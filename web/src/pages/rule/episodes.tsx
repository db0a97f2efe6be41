// When the condition would have held, of which device.
import { useState } from "preact/hooks";

import type { Episode, Rehearsal, Trial } from "../../api/rules";
import { count, time } from "../../format";
import { href } from "../../router";
import { Choices, Note, Scroll } from "../../ui/parts";
import { around } from "../alert/around";

/** Rows that are drawn; the counts are of all. */
const LISTED = 300;

type Which = "all" | "added" | "missing";

export function Episodes({ trial, shown }: { trial: Trial; shown: Rehearsal }) {
  const [which, choose] = useState<Which>("all");
  const { difference } = trial;
  const lists: Record<Which, [Episode[], number]> = {
    all: [shown.episodes, shown.alerts + shown.suppressed],
    added: [difference?.after ?? [], difference?.only_after ?? 0],
    missing: [difference?.before ?? [], difference?.only_before ?? 0],
  };
  const [episodes, n] = lists[difference ? which : "all"];
  const options = [
    ["all", `All (${count(lists.all[1])})`],
    ["added", `Only as written here (${count(lists.added[1])})`],
    ["missing", `Only in force (${count(lists.missing[1])})`],
  ] as const;
  return (
    <>
      {difference && (
        <div class="bar">
          <Choices label="Which of them" options={options} value={which} choose={choose} />
        </div>
      )}
      {episodes.length ? <List episodes={episodes} n={n} /> : <Note title={which === "all" ? "It would have raised nothing" : "None"} />}
    </>
  );
}

function List({ episodes, n }: { episodes: Episode[]; n: number }) {
  return (
    <Scroll label="What would have been raised" tall>
      <table>
        <thead>
          <tr>
            <th scope="col">Device, at that time</th>
            <th scope="col">Raised</th>
            <th scope="col">Over</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {episodes.slice(0, LISTED).map((one, at) => (
            <tr key={at}>
              <th scope="row">
                <a href={href(["devices", one.device_id], around(one.triggered_at, one.resolved_at))}>{one.device_id}</a>
              </th>
              <td title={one.triggered_at}>{time(Date.parse(one.triggered_at))}</td>
              <td title={one.resolved_at ?? ""}>{one.resolved_at ? time(Date.parse(one.resolved_at)) : <span class="muted">not yet</span>}</td>
              <td class="wraps">
                {one.why} {one.suppressed && <span class="tag">held back</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {n > LISTED && <p class="note">The first {LISTED} of {count(n)}.</p>}
    </Scroll>
  );
}
