// mqtt.js against a server: persistent sessions, cut connections, QoS 2, WebSocket.
//
// usage: with_mqttjs.cjs MQTT_PORT WEBSOCKET_PORT, with PENSTOCK_TEST_DEPS in the environment; exit 0 when all is well.

const assert = require("node:assert");
const { createRequire } = require("node:module");
const mqtt = createRequire(process.env.PENSTOCK_TEST_DEPS + "/")("mqtt");

const [mqttPort, websocketPort] = process.argv.slice(2);
const PATIENCE_MS = 30_000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    assert(Date.now() < deadline, `after ${PATIENCE_MS} ms still not: ${what}`);
    await sleep(10);
  }
}

function options(version, clientId) {
  const keep = version === 5 ? { properties: { sessionExpiryInterval: 300 } } : {};
  return { protocolVersion: version, clientId, clean: false, reconnectPeriod: 100, ...keep };
}

async function connect(version, clientId, got) {
  const client = mqtt.connect(`mqtt://127.0.0.1:${mqttPort}`, options(version, clientId));
  client.on("message", (_topic, payload) => got?.push(payload.toString()));
  client.on("error", (error) => { console.error(error); process.exit(1); });
  const connack = await new Promise((done) => client.once("connect", done));
  return { client, present: connack.sessionPresent };
}

async function sessions(version) {
  const got = [];
  const first = await connect(version, `jsub-${version}`, got);
  assert(!first.present);
  await first.client.subscribeAsync(`chat/js${version}`, { qos: 2 });
  await first.client.endAsync();

  const publisher = await connect(version, `jpub-${version}`);
  const sent = [...Array(50).keys()].map(String);
  await Promise.all(sent.map((text, n) => publisher.client.publishAsync(`chat/js${version}`, text, { qos: 1 + (n % 2) })));
  await publisher.client.endAsync();

  const again = await connect(version, `jsub-${version}`, got);
  assert(again.present, "the session was not kept");
  await until("all that was published meanwhile", () => got.length >= sent.length);
  // In order for each QoS ([MQTT-4.6.0-6]); a QoS 2 message is handed over with its PUBREL, so between them there is none.
  for (const parity of [0, 1]) {
    const of = (texts) => texts.filter((text) => Number(text) % 2 === parity);
    assert.deepStrictEqual(of(got), of(sent));
  }
  await again.client.endAsync();
}

async function cuts(version) {
  const got = [];
  const subscriber = await connect(version, `jcsub-${version}`, got);
  await subscriber.client.subscribeAsync(`cut/js${version}`, { qos: 2 });
  const publisher = await connect(version, `jcpub-${version}`);
  const sent = [];
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 60; n++) {
      const published = publisher.client.publishAsync(`cut/js${version}`, String(sent.length), { qos: 2 });
      // 0x92 to a PUBREL sent again is "not an error during recovery" (MQTT 5, 4.13.2); mqtt.js calls it one.
      sent.push(published.catch((error) => { if (error.code !== 0x92) throw error; }));
      if (n === 30) publisher.client.stream.destroy();
      if (n === 50) subscriber.client.stream.destroy();
      await sleep(2); // so that the cuts fall among the messages
    }
    // A client cut again while it sends anew what was in flight ends itself (mqtt.js 5.14, "Connection closed").
    await Promise.all(sent);
    await until("every message", () => new Set(got).size === sent.length);
  }
  await sleep(300); // for one too many to show
  assert.deepStrictEqual(got.map(Number).sort((a, b) => a - b), [...sent.keys()], "QoS 2 came more than once");
  await publisher.client.endAsync();
  await subscriber.client.endAsync();
}

async function websocket() {
  const client = await mqtt.connectAsync(`ws://127.0.0.1:${websocketPort}/mqtt`, { protocolVersion: 5, clientId: "js-ws" });
  await client.publishAsync("devices/js-ws/telemetry", '{"ts":1700000000,"metrics":{"m":1}}', { qos: 1 });
  await client.endAsync();
}

(async () => {
  for (const version of [4, 5]) {
    await sessions(version);
    await cuts(version);
  }
  await websocket();
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
