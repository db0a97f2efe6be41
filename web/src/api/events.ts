// Server-sent events, read with `fetch`: the browser's own EventSource cannot show a key.
import { request } from "./client";

export interface LiveReading {
  device_id: string;
  metric: string;
  value: unknown;
  time: string;
  arrived_at: string;
  clock: string;
}

export interface Listener {
  opened(): void;
  readings(readings: LiveReading[]): void;
  missed(readings: number): void;
}

/** Reads until the server ends the stream, or `signal` does. */
export async function listen(path: string, listener: Listener, signal: AbortSignal): Promise<void> {
  const response = await request(path, { signal, headers: { accept: "text/event-stream" } });
  listener.opened();
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const end = rest.lastIndexOf("\n\n");
    if (end < 0) continue;
    const readings: LiveReading[] = [];
    for (const event of rest.slice(0, end).split("\n\n")) {
      const lines = event.split("\n");
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (!data) continue;
      if (lines.includes("event: missed")) listener.missed((JSON.parse(data) as { readings: number }).readings);
      else readings.push(JSON.parse(data) as LiveReading);
    }
    rest = rest.slice(end + 2);
    if (readings.length) listener.readings(readings);
  }
}
