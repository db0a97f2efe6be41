// What people do with the web interface. node flows.mjs HTTP MQTT-PORT GUARDED-HTTP KEY
import { readFileSync } from "node:fs";

import { alerting, dead, fleet, query, story, stored } from "./feed.mjs";
import { PAGES } from "./pages.mjs";
import { accessible, browser, check, figure, flows, see, until } from "./tools.mjs";

const [http, mqttPort, guarded, key] = process.argv.slice(2);
const DEVICES = 1000;
const LETTERS = 3;

await fleet(http, DEVICES);
await story(http);
await alerting(http);
await dead(mqttPort);
await stored(http, DEVICES + 3, LETTERS);

const chromium = await browser();
const flow = flows(chromium);

await flow("the overview counts", {}, async (page) => {
  await page.goto(http);
  await until("the devices are counted", async () => (await figure(page, "Devices").innerText()).replace(/\D/g, "") === String(DEVICES + 3));
  await until("readings are counted", async () => Number((await figure(page, "Readings today").innerText()).replace(/\D/g, "")) > 0);
  check((await figure(page, "Dead letters").innerText()) === String(LETTERS), "dead letters");
  await see(page, ".says:has-text('12 devices in view')");
  await see(page, "text=ready");
});

await flow("a device is found, and its curves are drawn and looked into", {}, async (page) => {
  await page.goto(`${http}/#/devices`);
  await page.getByRole("searchbox", { name: "Search devices" }).fill("hamburg press");
  await see(page, "text=1 found");
  await page.getByRole("searchbox", { name: "Search devices" }).fill("pump-1");
  await page.getByRole("link", { name: "pump-1", exact: true }).click();
  await see(page, "h1:has-text('pump-1')");
  await until("a curve is drawn", () =>
    page.evaluate(() =>
      [...document.querySelectorAll(".plot canvas")].some((canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)),
    ),
  );
  await see(page, "td:has-text('late')");
  await see(page, "td:has-text('correction')");
  // Dragging over a curve picks a range of time.
  const curve = page.locator(".plot .u-over").first();
  const box = await curve.boundingBox();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await until("the range is in the address", async () => /from=\d+/.test(page.url()));
  await page.getByRole("button", { name: "Show the readings" }).click();
  await see(page, "[aria-label='Readings'] tbody tr");
  await page.goBack();
  await until("Back leads out again", async () => !/from=/.test(page.url()));
});

await flow("readings show as they are stored", {}, async (page) => {
  await page.goto(`${http}/#/live?device=live-1`);
  await see(page, "text=/^live$/");
  const reading = { device_id: "live-1", metric: "level", value: 7.25, ts: Date.now() };
  await fetch(`${http}/v1/telemetry`, { method: "POST", body: JSON.stringify(reading), headers: { "content-type": "application/json" } });
  await see(page, "tbody tr:has-text('level'):has-text('7.25')");
});

await flow("SQL is a chart, a table and a file", {}, async (page) => {
  await page.goto(`${http}/#/explore`);
  await page.getByRole("button", { name: "Write SQL" }).click();
  await see(page, ".schema summary:has-text('telemetry')");
  const box = page.getByRole("textbox", { name: "SQL statement" });
  await box.fill("SELEC 1");
  await page.getByRole("button", { name: "Ask" }).click();
  await see(page, ".alarm:has-text('SELEC')");
  await box.fill("SELECT time, metric, value FROM telemetry WHERE device_id = 'pump-1' AND metric IN ('flow', 'temperature') ORDER BY time");
  await box.press("Control+Enter");
  await see(page, ".plot canvas");
  await page.getByRole("button", { name: "Table" }).click();
  await see(page, "[aria-label='Answer'] tbody tr");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const lines = readFileSync(await file.path(), "utf8").trim().split(/\r?\n/);
  check(lines[0] === "time,metric,value" && lines.length > 700, `CSV: ${lines.length} lines, ${lines[0]}`);
  await page.getByRole("button", { name: "Pick metrics" }).click();
  await page.getByLabel("Metric", { exact: true }).fill("flow");
  await page.getByLabel(/^Devices/).fill("pump-1");
  await page.getByRole("button", { name: "Draw" }).click();
  await see(page, ".plot .u-legend:has-text('pump-1')");
});

await flow("a dead letter is mended, replayed, and gone", {}, async (page) => {
  await page.goto(`${http}/#/dead-letters`);
  await page.locator("tr:has-text('pump-7') th a").click();
  const box = page.getByRole("textbox", { name: "Payload" });
  await box.fill('{"temperature": 21.5, "pressure": }}');
  await see(page, "text=Not JSON");
  await box.fill('{"temperature": 21.5, "pressure": 1013}');
  await page.getByRole("button", { name: "Replay mended" }).click();
  await see(page, ".alarm.fine:has-text('put right')");
  await page.getByRole("link", { name: "All dead letters" }).click();
  await see(page, "tr:has-text('pump-9')");
  check((await page.locator("tr:has-text('pump-7')").count()) === 0, "it is still in the list");
  // Bytes that are no text are shown in hexadecimal.
  await page.locator("tr:has-text('pump-9') th a").click();
  await see(page, "pre.hex:has-text('80 ff 01 54')");
  await page.getByRole("button", { name: "Replay as it is" }).click();
  await see(page, ".alarm.mild:has-text('failed again')");
});

await flow("the account balances, and is counted again", {}, async (page) => {
  await page.goto(`${http}/#/ledger`);
  await see(page, "text=The account balances");
  await page.getByRole("button", { name: "By minute" }).click();
  await see(page, "th:has-text('Minute of arrival')");
  await page.getByRole("button", { name: "Verify" }).click();
  await see(page, ".alarm.fine:has-text('Everything balances')");
});

await flow("the keyboard is enough", {}, async (page) => {
  await page.goto(http);
  await see(page, ".figures");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.textContent)).trim() === "Skip to content", "the first stop");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("truck-2");
  await see(page, ".found a:has-text('truck-2')");
  await page.keyboard.press("Enter");
  await see(page, "h1:has-text('truck-2')");
  await until("the focus is in the page that was gone to", () => page.evaluate(() => document.activeElement.id === "main"));
});

await flow("without a key nothing is shown, and a wrong one is told from none", {}, async (page) => {
  await page.goto(guarded);
  await see(page, "dialog:has-text('only to who shows a key')");
  await accessible(page, "the question for a key");
  await page.getByLabel("Key", { exact: true }).fill("mistyped");
  await page.getByRole("button", { name: "Use this key" }).click();
  await see(page, "dialog:has-text('does not know this key')");
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
  await see(page, ".figures dd:text-is('0')");
  check((await page.locator("dialog[open]").count()) === 0, "the question is still there");
  check(await page.evaluate((key) => !JSON.stringify(localStorage).includes(key) && JSON.stringify(sessionStorage).includes(key), key), "where the key is kept");
  await page.goto(`${guarded}/#/live`);
  await see(page, "text=/^live$/");
  await page.getByRole("button", { name: "Forget the key" }).click();
  await see(page, "dialog:has-text('only to who shows a key')");
});

await flow("empty pages help", {}, async (page) => {
  await page.addInitScript((key) => sessionStorage.setItem("penstock.key", key), key);
  for (const [at, says] of [
    ["#/", "Nothing arrived in this time"],
    ["#/alerts", "There are no rules yet"],
    ["#/rules", "There are no rules yet"],
    ["#/people", "Nobody is told yet"],
    ["#/people", "Nothing is muted"],
    ["#/devices", "No device has sent anything yet"],
    ["#/dead-letters", "There are no dead letters"],
    ["#/ledger", "Nothing was accepted in this time"],
    ["#/nowhere", "There is no such page"],
  ]) {
    await page.goto(`${guarded}/${at}`);
    await see(page, `text=${says}`);
  }
});

await flow("dark follows the system and the choice", { colorScheme: "dark" }, async (page) => {
  await page.goto(http);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.getByLabel("Appearance").selectOption("light");
  const light = await background();
  check(dark !== light && (await page.evaluate(() => document.documentElement.dataset.theme)) === "light", `${dark} ${light}`);
  await page.reload();
  check((await background()) === light, "the choice is kept");
  await page.getByLabel("Appearance").selectOption("system");
  check((await background()) === dark, "and given up");
});

const [letter] = await query(http, "SELECT id FROM dlq LIMIT 1");
const [alert] = await query(http, "SELECT id FROM alerts LIMIT 1");
const all = [
  ...PAGES,
  { name: "dead-letter", at: `#/dead-letters/${letter.id}`, all: ["textarea"] },
  { name: "alert", at: `#/alerts/${alert.id}`, all: ["[aria-label='History'] tbody tr", ".facts dd"] },
  { name: "new-rule", at: "#/rules/New", all: ["textarea"] },
  { name: "new-person", at: "#/people/New", all: ["fieldset"] },
];

await flow("every page is accessible, light and dark", {}, async (page) => {
  for (const { name, at, all: parts } of all) {
    await page.goto(`${http}/${at}`);
    for (const part of parts) await see(page, part);
    await accessible(page, `${name}, light`);
    await page.emulateMedia({ colorScheme: "dark" });
    await accessible(page, `${name}, dark`);
    await page.emulateMedia({ colorScheme: "light" });
  }
});

await flow("no page is wider than a phone", { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }, async (page) => {
  for (const { name, at, all: parts } of all) {
    await page.goto(`${http}/${at}`);
    for (const part of parts) await see(page, part);
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wider <= 0, `${name} is ${wider} pixels wider than the phone`);
  }
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("link", { name: "Ledger" }).click();
  await see(page, "h1:has-text('Ledger')");
});

await chromium.close();
