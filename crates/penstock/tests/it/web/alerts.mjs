// What people do about rules and alerts, from the first rule on. node alerts.mjs HTTP
// The flows stand on each other: the rule that the first one writes is broken, acknowledged, muted, and removed by the others.
import { send, stored } from "./feed.mjs";
import { receiver } from "./receiver.mjs";
import { accessible, browser, check, figure, flows, see, until } from "./tools.mjs";

const [http] = process.argv.slice(2);
const HOUR = 3_600_000;

const publish = (device_id, temperature, ts = Date.now()) => send(http, "POST", "/v1/telemetry", JSON.stringify({ device_id, ts, metrics: { temperature } }));

/** An oven that was too hot at 5, 3 and 2 hours ago, by a little but once. */
async function history() {
  const now = Date.now();
  for (const [hours, peak] of [[5, 82], [3, 95], [2, 84]]) {
    await publish("oven-1", 70, now - hours * HOUR);
    await publish("oven-1", peak, now - hours * HOUR + 60_000);
    await publish("oven-1", 70, now - hours * HOUR + 120_000);
  }
  await publish("oven-2", 60, now - HOUR);
  await stored(http, 2, 0);
}

const hook = await receiver();
await history();
const chromium = await browser();
const flow = flows(chromium, http);

const row = (page, text) => page.locator(`[aria-label="Open, alerts"] tbody tr:has-text("${text}")`).first();

await flow("a rule with a mistake is mended at its place", {}, async (page) => {
  await page.goto(`${http}/#/alerts`);
  await page.getByRole("link", { name: "Write the first" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Oven too hot");
  const when = page.getByLabel("When", { exact: true });
  await when.fill("temperature > 80\n  AND heat(1) > 2");
  await page.getByRole("button", { name: "Keep and evaluate" }).click();
  await see(page, ".alarm:has-text('Line 2, column 7'):has-text('there is no function heat')");
  check((await page.locator("pre.place").innerText()) === "  AND heat(1) > 2\n      ^", "the place is shown");
  check((await when.getAttribute("aria-invalid")) === "true", "the field is marked");
  check((await when.evaluate((box) => box === document.activeElement && box.selectionStart)) === 23, "the cursor is at the place");
  await accessible(page, "a rule with a mistake");
  await when.fill("temperature > 80");
  await page.getByLabel(/^For: how long/).fill("soon");
  await page.getByRole("button", { name: "Keep and evaluate" }).click();
  await see(page, ".field:has-text('For: how long') .alarm:has-text('soon')");
  await page.getByLabel(/^For: how long/).fill("");
  await page.getByLabel("Over when").fill("temperature < 75");
  await page.getByLabel("Severity").selectOption("critical");
  await page.getByLabel(/^Names, with commas/).fill("oven-*");
  await page.locator("summary:text-is('Advanced')").click();
  const rest = page.getByLabel("The rest of the rule, as JSON");
  await rest.fill('{"suppres": "1s"}');
  await page.getByRole("button", { name: "Keep and evaluate" }).click();
  await see(page, "details .alarm:has-text('suppres')");
  await rest.fill('{"suppress": "1s"}');
  // What it would have done, before it is there.
  await page.getByRole("button", { name: "1 day", exact: true }).click();
  await page.getByRole("button", { name: "Dry run" }).click();
  await see(page, "[role=status]:has-text('3 alerts of 1 device')");
  check((await figure(page, "Alerts").innerText()) === "3", "the alerts are counted");
  await see(page, ".plot canvas");
  await accessible(page, "a dry run");
  const first = page.locator("[aria-label='What would have been raised'] tbody tr").first();
  check((await first.locator("a").getAttribute("href")).match(/devices\/oven-1\?from=\d+&to=\d+/), "an episode leads to its device at that time");
  await page.getByRole("button", { name: "Keep and evaluate" }).click();
  await see(page, "h2:has-text('Version 1, in force')");
  await page.getByRole("link", { name: "All rules" }).click();
  await see(page, "tr:has-text('Oven too hot'):has-text('temperature > 80'):has-text('critical'):has-text('oven-*')");
});

await flow("another version is compared with the one in force", {}, async (page) => {
  await page.goto(`${http}/#/rules/oven-too-hot`);
  const when = page.getByRole("textbox", { name: "When", exact: true });
  await when.fill("temperature > 90");
  await page.getByRole("button", { name: "Dry run" }).click();
  await see(page, "[role=status]:has-text('0 more, 2 missing, 1 the same')");
  await page.getByRole("button", { name: "Only in force (2)" }).click();
  await until("two rows are left", async () => (await page.locator("[aria-label='What would have been raised'] tbody tr").count()) === 2);
  check((await page.locator(".plot canvas").count()) === 2, "both are drawn");
  await when.fill("temperature > 79");
  // It names somebody itself, too.
  await page.getByRole("button", { name: "Add a way" }).click();
  await page.getByLabel("Way 1", { exact: true }).selectOption("webhook");
  await page.getByLabel("Address 1", { exact: true }).fill("the board");
  await page.getByRole("button", { name: "Keep as a new version" }).click();
  await see(page, "fieldset:has-text('Who is told') .alarm:has-text('the board')");
  await page.getByLabel("Address 1", { exact: true }).fill(`${hook.url}/board`);
  await page.getByRole("button", { name: "Keep as a new version" }).click();
  await see(page, "h2:has-text('Version 2, in force')");
  await see(page, ".alarm.fine:has-text('Kept as version 2')");
});

await flow("somebody is told, and the way to them is tried", {}, async (page) => {
  await page.goto(`${http}/#/people`);
  await page.getByRole("link", { name: "Say who wants to hear of them" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Ann Lee");
  await page.getByLabel("Kind of way 1").selectOption("webhook");
  await page.getByLabel("Address of way 1").fill("http://127.0.0.1:9/nobody");
  await page.getByRole("button", { name: "Test way 1" }).click();
  await see(page, ".alarm.mild:has-text('It did not arrive')");
  await page.getByLabel("Address of way 1").fill(hook.url);
  await page.getByRole("button", { name: "Test way 1" }).click();
  await see(page, ".alarm.fine:has-text('It arrived'):has-text('202')");
  check(hook.taken.at(-1).type === "alert.test", "the receiver has it");
  await page.getByLabel("Has quiet hours").check();
  await page.getByLabel("Time zone").fill("Berlin");
  await page.getByRole("button", { name: "Keep" }).click();
  await see(page, ".alarm:has-text('Berlin')");
  await page.getByLabel("Has quiet hours").uncheck();
  await page.getByRole("button", { name: "Keep" }).click();
  await see(page, "h1:has-text('Ann Lee')");
  await page.getByRole("link", { name: "All people" }).click();
  await see(page, "tr:has-text('Ann Lee'):has-text('everything from warning on')");
});

await flow("who goes elsewhere before the answer is left there", {}, async (page) => {
  let answer;
  const asked = new Promise((resolve) => {
    answer = resolve;
  });
  await page.route("**/v1/people/ben", async (route) => {
    await asked;
    await route.continue();
  });
  await page.goto(`${http}/#/people/New`);
  await page.getByLabel("Name", { exact: true }).fill("Ben");
  await page.getByLabel("Kind of way 1").selectOption("webhook");
  await page.getByLabel("Address of way 1").fill(hook.url);
  await page.getByRole("button", { name: "Keep" }).click();
  await page.getByRole("link", { name: "All people" }).click();
  await see(page, "h1:has-text('People and mutes')");
  const kept = page.waitForResponse("**/v1/people/ben");
  answer();
  check((await kept).ok(), "the person is kept");
  await see(page, "tr:has-text('Ben')");
  check(page.url() === `${http}/#/people`, `nobody is taken to ${page.url()}`);
  check((await fetch(`${http}/v1/people/ben`, { method: "DELETE" })).ok, "Ben is gone");
});

await flow("an alert is raised, told, acknowledged, and over", {}, async (page) => {
  await page.goto(`${http}/#/alerts`);
  await see(page, "text=1 rule is watching");
  await publish("oven-1", 91);
  await row(page, "oven-1").waitFor();
  check(/critical/.test(await row(page, "oven-1").innerText()), "its severity is shown");
  await row(page, "oven-1").getByRole("button", { name: /^Acknowledge/ }).click();
  await see(page, "[role=status]:has-text('is acknowledged by web')");
  await row(page, "acknowledged").waitFor();
  await row(page, "oven-1").getByRole("link", { name: "Oven too hot" }).click();
  await see(page, "[aria-label='History'] tr:has-text('acknowledged'):has-text('web')");
  await see(page, "[aria-label='Deliveries'] tr:has-text('ann'):has-text('arrived'):has-text('202')");
  await see(page, "[aria-label='Deliveries'] tr:has-text('whoever the rule names'):has-text('arrived'):has-text('/board')");
  check(hook.taken.some(({ type, alert }) => type === "alert.raised" && alert), "the receiver was told");
  await accessible(page, "an alert");
  await page.goto(http);
  await until("the overview counts it", async () => (await figure(page, "Open alerts").innerText()) === "1");
  await page.goto(`${http}/#/devices/oven-1`);
  await see(page, "[aria-label='Alerts of this device'] tr:has-text('Oven too hot')");
  await page.goto(`${http}/#/rules`);
  await see(page, "tr:has-text('Oven too hot') td.n a:text-is('1')");
  await page.goto(`${http}/#/alerts`);
  await row(page, "oven-1").waitFor();
  // Under the pointer, which was left near it, the list would keep its row.
  await page.mouse.move(0, 0);
  await publish("oven-1", 60);
  await see(page, "[aria-label='Over, alerts'] tr:has-text('oven-1'):has-text('resolved')");
  await see(page, "text=Nothing is wrong");
});

await flow("a rule is muted on a device, and nobody is told", {}, async (page) => {
  const told = hook.taken.length;
  await page.goto(`${http}/#/alerts`);
  await page.locator("[aria-label='Over, alerts']").getByRole("button", { name: "Mute Oven too hot of oven-1" }).first().click();
  await page.getByLabel("Mute for").selectOption("8");
  await page.getByLabel("Your name").fill("Ben");
  await page.getByLabel(/^Remark/).fill("new thermostat");
  await accessible(page, "muting");
  await page.locator("dialog").getByRole("button", { name: "Mute", exact: true }).click();
  await see(page, "[role=status]:has-text('is muted until')");
  await publish("oven-1", 99);
  await row(page, "muted").waitFor();
  await row(page, "muted").getByRole("link", { name: "Oven too hot" }).click();
  await see(page, "text=Nobody: it was muted");
  // By hand, with a word.
  await page.getByLabel(/^Remark/).fill("was the door");
  await page.getByRole("button", { name: "Resolve" }).click();
  await see(page, "[aria-label='History'] tr:has-text('resolved'):has-text('Ben'):has-text('was the door')");
  check(hook.taken.slice(told).every(({ type }) => type !== "alert.raised"), "nobody was told that it was raised");
  await page.goto(`${http}/#/people`);
  await see(page, "[aria-label='Mutes'] tr:has-text('oven-1'):has-text('Ben'):has-text('new thermostat')");
  await page.getByRole("button", { name: /^Remove the mute/ }).click();
  await page.getByRole("button", { name: "Remove it" }).click();
  await see(page, "text=Nothing is muted");
});

await flow("a list stands still under the hand, and is turned and narrowed", {}, async (page) => {
  const raise = (n, severity = "info") => send(http, "POST", "/v1/alerts", JSON.stringify({ device_id: `gate-${n}`, rule: "left-open", severity, why: "open since lunch" }));
  await raise(0, "warning");
  await page.goto(`${http}/#/alerts?state=open`);
  await row(page, "gate-0").hover();
  const before = await row(page, "gate-0").boundingBox();
  await raise(1);
  await see(page, "button:has-text('1 new alert')");
  check((await row(page, "gate-1").count()) === 0, "it waits");
  check((await row(page, "gate-0").boundingBox()).height === before.height, "the row is the same");
  await page.getByRole("button", { name: /^1 new alert/ }).click();
  await row(page, "gate-1").waitFor();
  for (let n = 2; n < 60; n += 1) await raise(n);
  await page.mouse.move(0, 0);
  await see(page, "h2:has-text('and more')");
  await page.getByRole("button", { name: "More" }).click();
  await until("all are listed", async () => (await page.locator("[aria-label='Open, alerts'] tbody tr").count()) === 60);
  await page.getByLabel("Severity").selectOption("warning");
  await until("one is so bad", async () => (await page.locator("[aria-label='Open, alerts'] tbody tr").count()) === 1);
  await page.getByLabel("Severity").selectOption("");
  await page.getByRole("searchbox", { name: "Device" }).fill("gate-7");
  await until("one is of the device", async () => (await page.locator("[aria-label='Open, alerts'] tbody tr").count()) === 1);
  // By the keyboard alone.
  await row(page, "gate-7").getByRole("button", { name: /^Acknowledge/ }).focus();
  await page.keyboard.press("Enter");
  await row(page, "acknowledged").waitFor();
  await page.getByRole("searchbox", { name: "Device" }).fill("gate-70");
  await see(page, "text=No alert is like this");
});

await flow("a rule is switched off, and removed", {}, async (page) => {
  await page.goto(`${http}/#/rules`);
  const on = page.getByRole("switch", { name: "Oven too hot is on" });
  await on.click();
  await until("it is off", async () => !(await on.isChecked()));
  await page.reload();
  await until("and stays off", async () => !(await on.isChecked()));
  await page.getByRole("link", { name: "Oven too hot" }).click();
  await page.getByRole("button", { name: /^Remove the rule/ }).click();
  await accessible(page, "removing");
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.getByRole("button", { name: /^Remove the rule/ }).click();
  await page.getByRole("button", { name: "Remove it" }).click();
  await see(page, "text=There are no rules yet");
  await page.goto(`${http}/#/rules/oven-too-hot`);
  await see(page, "text=There is no such rule");
});

await chromium.close();
hook.end();
