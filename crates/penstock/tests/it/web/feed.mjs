// What the fleet sends: a thousand devices with some history, places on the map, and what goes wrong now and then.
import { mqtt, check, until } from "./tools.mjs";

const SITES = [
  ["hamburg", 53.55, 9.99],
  ["rotterdam", 51.92, 4.48],
  ["porto", 41.15, -8.61],
  ["izmir", 38.42, 27.14],
  ["singapore", 1.29, 103.85],
  ["santos", -23.96, -46.33],
  ["houston", 29.76, -95.37],
  ["durban", -29.86, 31.02],
  ["busan", 35.18, 129.08],
  ["fremantle", -32.05, 115.74],
];

export async function send(http, method, path, body) {
  const response = await fetch(http + path, { method, headers: { "content-type": "application/json" }, body });
  const text = await response.text();
  check(response.ok, `${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

/** `devices` of them, each with three metrics at this moment; every hundredth is registered, with a place. */
export async function fleet(http, devices) {
  const now = Date.now();
  for (let from = 0; from < devices; from += 1000) {
    const lines = [];
    for (let n = from; n < Math.min(from + 1000, devices); n += 1) {
      const metrics = { temperature: 20 + (n % 17) / 2, pressure: 1000 + (n % 31), running: n % 3 > 0 };
      lines.push(JSON.stringify({ device_id: `press-${String(n).padStart(6, "0")}`, ts: now, metrics }));
    }
    await send(http, "POST", "/v1/telemetry", lines.join("\n"));
  }
  for (let n = 0; n < Math.min(devices, 4000); n += 100) {
    const [site, lat, lng] = SITES[(n / 100) % SITES.length];
    const facts = { type: "press", site, location: { lat: lat + (n % 700) / 500, lng: lng + (n % 1100) / 700 }, firmware: "2.1.0", tags: { line: "4" } };
    await send(http, "PUT", `/v1/devices/press-${String(n).padStart(6, "0")}`, JSON.stringify(facts));
  }
}

/** One device with an hour of readings, some of them late, one corrected; and two that say where they are. */
export async function story(http) {
  const now = Date.now();
  const at = (minutes) => now - minutes * 60_000;
  const readings = [];
  for (let second = 3600; second >= 0; second -= 10) {
    const ts = now - second * 1000;
    readings.push({ device_id: "pump-1", ts, metrics: { temperature: 40 + 8 * Math.sin(second / 300), flow: 12 + Math.cos(second / 170), mode: "auto" } });
  }
  await send(http, "POST", "/v1/telemetry", JSON.stringify(readings));
  await send(http, "POST", "/v1/telemetry", JSON.stringify({ device_id: "pump-1", ts: at(2) + 5, metrics: { temperature: 39 } }));
  await send(http, "POST", "/v1/telemetry", JSON.stringify({ device_id: "pump-1", ts: now, metrics: { flow: 11.5 } }));
  const moving = ["truck-1", "truck-2"].map((device_id, n) => ({ device_id, ts: now, metrics: { position: { lat: 48 + n, lng: 11 + n } } }));
  await send(http, "POST", "/v1/telemetry", JSON.stringify(moving));
}

/** A rule that its pump has broken within the hour, somebody who is told, and an alert that was raised from outside. */
export async function alerting(http) {
  const rule = { name: "Pump too warm", when: "temperature > 47", clear_when: "temperature < 45", severity: "critical", scope: { devices: ["pump-*"] } };
  await send(http, "POST", "/v1/rules", JSON.stringify(rule));
  const ann = { name: "Ann Lee", channels: { board: { kind: "mqtt", topic: "alerts/ann" } }, quiet: { hours: { from: "22:00", to: "07:00", zone: "Europe/Berlin" } } };
  await send(http, "PUT", "/v1/people/ann", JSON.stringify(ann));
  await send(http, "POST", "/v1/alerts", JSON.stringify({ device_id: "pump-1", rule: "seal-check", severity: "warning", why: "the seal was found wet", by: "inspection" }));
}

/** Messages that cannot be used: acknowledged, and kept as dead letters. */
export async function dead(port) {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`);
  await client.publishAsync("devices/pump-7/telemetry", '{"temperature": 21.5, "pressure": }', { qos: 1 });
  await client.publishAsync("devices/pump-8/telemetry", '{"ts": "yesterday", "temperature": 20}', { qos: 1 });
  await client.publishAsync("devices/pump-9/telemetry", Buffer.from([0x80, 0xff, 0x01, 0x54]), { qos: 1 });
  await client.endAsync();
}

export async function query(http, statement) {
  return (await send(http, "POST", "/v1/sql", JSON.stringify({ query: statement }))).rows;
}

/** Until all that was sent can be asked for. */
export async function stored(http, devices, letters) {
  await until("the fleet's readings are stored", async () => {
    const [{ n }] = await query(http, "SELECT count(*) AS n FROM devices");
    const [{ d }] = await query(http, "SELECT count(DISTINCT id) AS d FROM dlq");
    return n >= devices && d >= letters;
  });
}
