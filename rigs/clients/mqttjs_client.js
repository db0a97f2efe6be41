// mqtt.js, in the same phases as paho_client.py:
//   mqttjs_client.js PORT VERSION leave | publish FROM TO | return COUNT | stay COUNT
'use strict';
const mqtt = require('mqtt');
const [port, version, phase, ...rest] = process.argv.slice(2);
const v5 = version === '5';
const topic = 'real/mqttjs' + version.replace(/\./g, '');
const LIMIT_MS = 30000;

const fail = (why) => {
  console.error(`mqtt.js ${version} ${phase}: ${why}`);
  process.exit(1);
};
setTimeout(() => fail('took too long'), LIMIT_MS).unref();

const connect = (role) =>
  mqtt.connect({
    host: '127.0.0.1',
    port: Number(port),
    clientId: `mqttjs-${version}-${role}`,
    protocolVersion: v5 ? 5 : 4,
    clean: false,
    keepalive: 20,
    reconnectPeriod: 300,
    properties: v5 ? { sessionExpiryInterval: 3600 } : undefined,
  });

// Collects until `count` arrived, and for a moment longer: what comes twice comes soon.
const collect = (client, count) => {
  const messages = [];
  client.on('message', (_topic, payload, packet) => {
    messages.push(`${payload} ${packet.qos}`);
    if (messages.length === count) {
      setTimeout(() => client.end(false, {}, () => {
        console.log(messages.join('\n'));
        process.exit(0);
      }), 500);
    }
  });
};

if (phase === 'leave') {
  const client = connect('keeper');
  client.on('connect', (connack) => {
    if (connack.sessionPresent) fail('a session was present that nobody had');
    client.subscribe(topic, { qos: 2 }, (error) => {
      if (error) fail(error);
      client.end(false, {}, () => process.exit(0));
    });
  });
} else if (phase === 'publish') {
  const client = connect('publisher');
  const [from, to] = rest.map(Number);
  let left = to - from;
  client.once('connect', () => {
    for (let number = from; number < to; number += 1) {
      client.publish(topic, String(number), { qos: 2 }, (error) => {
        if (error) fail(error);
        left -= 1;
        if (left === 0) client.end(false, {}, () => process.exit(0));
      });
    }
  });
} else if (phase === 'return') {
  const client = connect('keeper');
  collect(client, Number(rest[0]));
  client.once('connect', (connack) => {
    if (!connack.sessionPresent) fail('the session was not present');
  });
} else if (phase === 'stay') {
  const client = connect('keeper');
  collect(client, Number(rest[0]));
  client.on('error', () => {}); // it comes back by itself
  client.once('connect', () => {
    client.subscribe(topic, { qos: 2 }, (error) => {
      if (error) fail(error);
      console.log('ready');
    });
  });
} else {
  fail('no such phase');
}
