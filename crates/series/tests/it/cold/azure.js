// Azurite, which speaks Azure's interface, with a container. Prints its address, and ends with its input.
// Account and key are those that Azurite always has.
const [account, key] = ['devstoreaccount1', 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='];
const say = console.log;
console.log = (line) => {
  const [, address] = /successfully listens on (\S+)/.exec(line) || [];
  if (!address) return;
  const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2023-11-03' };
  const named = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('');
  const signed = `PUT${'\n'.repeat(12)}${named}/${account}/${account}/bucket\nrestype:container`;
  const hmac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(signed).digest('base64');
  headers.authorization = `SharedKey ${account}:${hmac}`;
  fetch(`${address}/${account}/bucket?restype=container`, { method: 'PUT', headers })
    .then((made) => say(made.ok ? address : `the container was not made: ${made.status}`));
};
process.stdin.on('end', () => process.exit()).resume();
process.argv.push('--blobPort', '0', '--inMemoryPersistence', '--disableTelemetry', '--silent');
require(`${process.env.PENSTOCK_TEST_DEPS}/node_modules/azurite/dist/src/blob/main.js`);
