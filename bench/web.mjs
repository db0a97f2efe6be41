// How long each page of the web interface takes until it can be used, in a fresh browser context each time (nothing kept).
//
//   node bench/web.mjs HTTP MQTT-PORT DEVICES RUNS
//
// Feeds the server at HTTP with DEVICES devices first. A page can be used when what it shows first is there (pages.mjs says what)
// and the browser has nothing else to do. Prints a markdown table, milliseconds since the request for the page.
import { alerting, dead, fleet, stored, story } from "../crates/penstock/tests/it/web/feed.mjs";
import { PAGES } from "../crates/penstock/tests/it/web/pages.mjs";
import { browser, open } from "../crates/penstock/tests/it/web/tools.mjs";

const [http, mqttPort, devices, runs] = process.argv.slice(2);
await fleet(http, Number(devices));
await story(http);
await alerting(http);
await dead(mqttPort);
await stored(http, Number(devices) + 3, 3);

const chromium = await browser();
console.log("| page | median | worst | bytes | requests |\n|---|---|---|---|---|");
for (const { name, at, all } of PAGES) {
  const took = [];
  let [bytes, requests] = [0, 0];
  for (let run = 0; run < Number(runs); run += 1) {
    const page = await open(chromium);
    await page.goto(`${http}/${at}`, { waitUntil: "commit" });
    await Promise.all(all.map((part) => page.locator(part).first().waitFor()));
    took.push(await page.evaluate(() => new Promise((done) => requestIdleCallback(() => done(performance.now())))));
    [bytes, requests] = await page.evaluate(() => {
      const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
      return [entries.reduce((sum, entry) => sum + entry.transferSize, 0), entries.length];
    });
    await page.context().close();
  }
  took.sort((a, b) => a - b);
  console.log(`| ${name} | ${Math.round(took[Math.floor(took.length / 2)])} | ${Math.round(took.at(-1))} | ${Math.round(bytes / 1000)} kB | ${requests} |`);
}
await chromium.close();
