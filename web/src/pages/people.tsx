// Who is told of alerts, and what nobody is told of for a while.
import { useState } from "preact/hooks";

import { type Mute, type Named, type Person, mutes as allMutes, people as allPeople, unmute } from "../api/alerts";
import { count, time } from "../format";
import type { PageProps } from "../pages";
import { href } from "../router";
import { Remove } from "../ui/confirm";
import { Ago, Alarm, Note, Panel, Scroll, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";

export default function People(_: PageProps) {
  const people = useAnswer(allPeople, [], 15_000);
  return (
    <div class="stack">
      <Title
        aside={
          <a class="button main" href={href(["people", "New"])}>
            New person
          </a>
        }
      >
        People and mutes
      </Title>
      <Panel title="Who is told" flush>
        <Shown of={people}>{(people) => (people.length ? <List people={people} /> : <NoPeople />)}</Shown>
      </Panel>
      <Mutes />
    </div>
  );
}

function NoPeople() {
  return (
    <Note title="Nobody is told yet">
      Alerts are raised and kept all the same. <a href={href(["people", "New"])}>Say who wants to hear of them</a>, and by which way: e-mail, SMS, a webhook, an MQTT topic.
    </Note>
  );
}

function List({ people }: { people: Named<Person>[] }) {
  return (
    <Scroll label="People">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Ways</th>
            <th scope="col">Hears of</th>
            <th scope="col">Quiet</th>
          </tr>
        </thead>
        <tbody>
          {people.map((person) => (
            <tr key={person.id}>
              <th scope="row">
                <a href={href(["people", person.id])}>{person.name}</a>
              </th>
              <td class="wraps">
                {Object.entries(person.channels).map(([name, address]) => (
                  <>
                    <span class="tag">{address.kind}</span> {name}{" "}
                  </>
                ))}
              </td>
              <td class="wraps">{wantsOf(person)}</td>
              <td class="wraps">{person.quiet ? `${person.quiet.hours.from} to ${person.quiet.hours.to}, ${person.quiet.hours.zone}` : <span class="muted">never</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function wantsOf({ wants = [{}] }: Person): string {
  if (!wants.length) return "what an escalation brings";
  const [first] = wants;
  const plain = wants.length === 1 && !Object.keys(first!.of ?? {}).length;
  return plain ? `everything from ${first!.from ?? "warning"} on` : `${count(wants.length)} selection${wants.length === 1 ? "" : "s"} of alerts`;
}

function Mutes() {
  const mutes = useAnswer(allMutes, [], 10_000);
  const [error, fail] = useState<Error | null>(null);
  const end = (id: string) => unmute(id).then(mutes.again, fail);
  return (
    <Panel title="Mutes" flush aside={<span class="muted">what is raised meanwhile is kept, and told nobody</span>}>
      {error && (
        <div class="note">
          <Alarm>{error.message}</Alarm>
        </div>
      )}
      <Shown of={mutes}>
        {(mutes) =>
          mutes.length === 0 ? (
            <Note title="Nothing is muted">Mute an alert's rule and device from the list of alerts.</Note>
          ) : (
            <Scroll label="Mutes">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Of</th>
                    <th scope="col">When</th>
                    <th scope="col">By</th>
                    <th scope="col">Why</th>
                    <th scope="col">Do</th>
                  </tr>
                </thead>
                <tbody>
                  {mutes.map((mute) => (
                    <tr key={mute.id} class={isOver(mute) ? "past" : undefined}>
                      <th scope="row" class="wraps">
                        {selected(mute)}
                      </th>
                      <td class="wraps">
                        <When mute={mute} />
                      </td>
                      <td>{mute.by || <span class="muted">not said</span>}</td>
                      <td class="wraps">{mute.reason || <span class="muted">not said</span>}</td>
                      <td>
                        <Remove plain what={`the mute of ${selected(mute)}`} remove={() => end(mute.id)}>
                          What it kept from people is told.
                        </Remove>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        }
      </Shown>
    </Panel>
  );
}

function isOver({ when }: Mute): boolean {
  return "once" in when && when.once.to_ms <= Date.now();
}

function selected({ of = {} }: Mute): string {
  const { tags = {}, ...parts } = of;
  const all = [...Object.entries(parts).map(([what, pattern]) => `${what} ${pattern}`), ...Object.entries(tags).map(([key, value]) => `${key}=${value}`)];
  return all.join(", ") || "everything";
}

function When({ mute }: { mute: Mute }) {
  const { when } = mute;
  if ("weekly" in when) {
    const { days, from, to, zone } = when.weekly;
    return (
      <>
        {days?.length ? days.join(", ") : "every day"}, {from} to {to}, {zone}
      </>
    );
  }
  const { from_ms, to_ms } = when.once;
  if (isOver(mute)) {
    return (
      <>
        over since <Ago at={to_ms} />
      </>
    );
  }
  return (
    <span title={new Date(to_ms).toISOString()}>
      {from_ms > Date.now() && `from ${time(from_ms)} `}until {time(to_ms)}
    </span>
  );
}
