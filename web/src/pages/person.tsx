// One who is told of alerts. `New` stands for somebody who is not there yet: ids have no capital letters.
import { useState } from "preact/hooks";

import { type Named, type Person, people as allPeople, putPerson, removePerson } from "../api/alerts";
import type { PageProps } from "../pages";
import { goIfStill, href } from "../router";
import { Remove } from "../ui/confirm";
import { Alarm, Note, Panel, Shown, Title } from "../ui/parts";
import { useAnswer } from "../ui/use-answer";
import { Channels } from "./person/channels";
import { BLANK, type Draft, draftOf, idOf, personOf } from "./person/draft";
import { Wants } from "./person/wants";

export default function PersonPage({ rest }: PageProps) {
  const id = rest.join("/");
  const goOn = goIfStill();
  // Asked once, not again and again: somebody may be writing.
  const people = useAnswer(allPeople, []);
  const person = people.data?.find((person) => person.id === id);
  return (
    <div class="stack">
      <Title
        aside={
          <>
            {person && (
              <Remove what={person.name} remove={() => removePerson(id).then(() => goOn(["people"]))}>
                They are told of nothing any more. What they were told stays with the alerts.
              </Remove>
            )}
            <a href={href(["people"])}>All people</a>
          </>
        }
      >
        {id === "New" ? "New person" : (person?.name ?? id)}
      </Title>
      <Shown of={people}>
        {(people) =>
          person || id === "New" ? (
            <Editor key={id} person={person ?? null} taken={people.map(({ id }) => id)} />
          ) : (
            <Note title="Nobody is called so">Somebody may have removed them, or an alert was told to a machine that is gone.</Note>
          )
        }
      </Shown>
    </div>
  );
}

function Editor({ person, taken }: { person: Named<Person> | null; taken: string[] }) {
  const goOn = goIfStill();
  const [draft, setDraft] = useState<Draft>(() => (person ? draftOf(person) : BLANK));
  const [state, setState] = useState<{ busy?: boolean; kept?: boolean; error?: Error }>({});
  const set = (change: Partial<Draft>) => {
    setDraft((old) => ({ ...old, ...change }));
    setState({});
  };
  const id = person?.id ?? (draft.id || idOf(draft.name));
  const submit = async (event: Event) => {
    event.preventDefault();
    setState({ busy: true });
    try {
      if (!person && taken.includes(id)) throw new Error(`There is somebody with the id “${id}” already: choose another one.`);
      await putPerson(id, personOf(draft));
      if (!person) return goOn(["people", id]);
      setState({ kept: true });
    } catch (error) {
      setState({ error: error as Error });
    }
  };
  return (
    <Panel title="How they are reached, and of what they hear">
      <form class="stack" onSubmit={submit}>
        <div class="halves">
          <label class="field">
            <span>Name</span>
            <input type="text" required maxLength={200} placeholder="Ann Lee" value={draft.name} onInput={(event) => set({ name: event.currentTarget.value })} />
          </label>
          {!person && (
            <label class="field">
              <span>Id, which stays</span>
              <input type="text" required pattern="[a-z0-9\-][a-z0-9_\-]{0,63}" title="Letters a to z, digits, - and _, which does not come first" value={id} onInput={(event) => set({ id: event.currentTarget.value })} />
            </label>
          )}
        </div>
        <Channels channels={draft.channels} set={(channels) => set({ channels })} />
        <Wants draft={draft} set={set} />
        <div class="bar">
          <button class="button main" type="submit" disabled={state.busy}>
            Keep
          </button>
        </div>
        {state.kept && <Alarm fine>Kept. It holds for what is raised from now on.</Alarm>}
        {state.error && <Alarm>{state.error.message}</Alarm>}
      </form>
    </Panel>
  );
}
