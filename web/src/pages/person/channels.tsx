// The ways to a person, and whether a message arrives there.
import { useState } from "preact/hooks";

import { tryAddress } from "../../api/alerts";
import { Alarm } from "../../ui/parts";
import { type Draft, KINDS, type Kind, addressOf } from "./draft";

/** As many as the server takes. */
const MOST = 8;

interface Channel {
  name: string;
  kind: Kind;
  address: string;
}

export function Channels({ channels, set }: { channels: Draft["channels"]; set: (channels: Draft["channels"]) => void }) {
  const added = (): Channel => ({ name: free(channels), kind: "email", address: "" });
  return (
    <fieldset>
      <legend>Ways</legend>
      {channels.map((channel, at) => (
        <Row
          key={at}
          n={at + 1}
          channel={channel}
          set={(next) => set(channels.map((one, n) => (n === at ? { ...one, ...next } : one)))}
          remove={channels.length > 1 ? () => set(channels.filter((_, n) => n !== at)) : undefined}
        />
      ))}
      {channels.length < MOST && (
        <button class="button" type="button" onClick={() => set([...channels, added()])}>
          Add a way
        </button>
      )}
    </fieldset>
  );
}

function free(channels: Channel[]): string {
  const taken = new Set(channels.map(({ name }) => name));
  let n = channels.length + 1;
  while (taken.has(`way-${n}`)) n += 1;
  return `way-${n}`;
}

type Tried = { busy?: boolean; delivered?: boolean; said?: string };

function Row({ n, channel, set, remove }: { n: number; channel: Channel; set: (change: Partial<Channel>) => void; remove: (() => void) | undefined }) {
  const [tried, setTried] = useState<Tried>({});
  const test = async () => {
    setTried({ busy: true });
    try {
      setTried(await tryAddress(addressOf(channel.kind, channel.address)));
    } catch (error) {
      setTried({ delivered: false, said: (error as Error).message });
    }
  };
  return (
    <div class="stack tight">
      <div class="bar">
        <input type="text" required class="short" aria-label={`Name of way ${n}`} pattern="[a-z0-9_\-]{1,64}" title="Letters a to z, digits, - and _" value={channel.name} onInput={(event) => set({ name: event.currentTarget.value })} />
        <select aria-label={`Kind of way ${n}`} value={channel.kind} onChange={(event) => set({ kind: event.currentTarget.value as Kind })}>
          {KINDS.map(([kind, title]) => (
            <option key={kind} value={kind}>
              {title}
            </option>
          ))}
        </select>
        <input
          type="text"
          required
          class="long"
          aria-label={`Address of way ${n}`}
          placeholder={KINDS.find(([kind]) => kind === channel.kind)![2]}
          value={channel.address}
          onInput={(event) => set({ address: event.currentTarget.value })}
        />
        <button class="button" type="button" aria-label={`Test way ${n}`} disabled={tried.busy || !channel.address.trim()} onClick={test}>
          {tried.busy ? "Sending …" : "Test"}
        </button>
        {remove && (
          <button class="button plain" type="button" aria-label={`Remove way ${n}`} onClick={remove}>
            Remove
          </button>
        )}
      </div>
      {tried.delivered !== undefined && (
        <Alarm fine={tried.delivered} mild={!tried.delivered}>
          {tried.delivered ? "It arrived. The receiver said: " : "It did not arrive: "}
          {tried.said}
        </Alarm>
      )}
    </div>
  );
}
