// Pictures of every page for docs/images, from a running server: PENSTOCK_TEST_DEPS=… node scripts/web-screenshots.mjs HTTP DEVICE [ONLY …]
// The overview is taken dark, too, and two pages as on a phone. The server has a dead letter, an open alert of a rule, and a person.
import { PAGES } from "../crates/penstock/tests/it/web/pages.mjs";
import { browser, open } from "../crates/penstock/tests/it/web/tools.mjs";

const [http, device, ...only] = process.argv.slice(2);
const answer = await fetch(`${http}/v1/sql`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: "SELECT id FROM dlq WHERE payload LIKE '{%' ORDER BY first_at LIMIT 1" }),
});
const [letter] = (await answer.json()).rows;

const statement = `SELECT time_bucket('30 seconds', time) AS time, device_id,
  avg(value) AS temperature
FROM telemetry
WHERE metric = 'temperature' AND device_id IN ('sim-1', 'sim-2', 'sim-3')
  AND time >= now() - INTERVAL '30 minutes'
GROUP BY 1, 2 ORDER BY 1`;
const alerts = await (await fetch(`${http}/v1/alerts?state=open&limit=1`)).json();
const { people } = await (await fetch(`${http}/v1/people`)).json();
const at = {
  rule: `#/rules/${alerts.alerts[0].rule_id}`,
  person: `#/people/${people[0].id}`,
  device: `#/devices/${device}?span=15m`,
  explore: `#/explore?q=${encodeURIComponent(statement)}`,
};
const sizes = { rule: { viewport: { width: 1280, height: 2000 } } };
const shots = [
  ...PAGES.map(({ name, at: path }) => ({ name, path: at[name] ?? path, options: sizes[name] })),
  { name: "dead-letter", path: `#/dead-letters/${letter.id}` },
  { name: "alert", path: `#/alerts/${alerts.alerts[0].id}` },
  { name: "alerts-phone", path: "#/alerts", options: { viewport: { width: 390, height: 844 } } },
  { name: "overview-dark", path: "#/", options: { colorScheme: "dark" } },
  { name: "device-dark", path: at.device, options: { colorScheme: "dark" } },
  { name: "overview-phone", path: "#/", options: { viewport: { width: 390, height: 844 } } },
];

const chromium = await browser();
for (const { name, path, options } of shots.filter(({ name }) => !only.length || only.includes(name))) {
  const page = await open(chromium, { viewport: { width: 1280, height: 800 }, ...options });
  await page.goto(`${http}/${path}`);
  if (name.startsWith("overview")) await page.locator(".says:has-text('in view')").waitFor();
  // Long enough for rates, which need two looks, and for readings to pass by.
  await page.waitForTimeout(name === "system" ? 15_000 : 6_500);
  if (name === "rule") await tried(page);
  await page.screenshot({ path: new URL(`../docs/images/web-${name}.png`, import.meta.url).pathname });
  await page.context().close();
}
await chromium.close();

/** Another version of the rule, beside the one in force. */
async function tried(page) {
  const when = page.getByRole("textbox", { name: "When", exact: true });
  await when.fill((await when.inputValue()).replace(/\d+/, (number) => String(Number(number) + 1)));
  await page.getByRole("button", { name: "1 day", exact: true }).click();
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.locator(".plot canvas >> nth=1").waitFor();
}
