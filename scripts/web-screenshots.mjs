// Pictures of every page for docs/images, from a running server: PENSTOCK_TEST_DEPS=… node scripts/web-screenshots.mjs HTTP DEVICE [ONLY]
// The overview is taken dark, too, and one page as on a phone.
import { PAGES } from "../crates/penstock/tests/it/web/pages.mjs";
import { browser, open } from "../crates/penstock/tests/it/web/tools.mjs";

const [http, device, only] = process.argv.slice(2);
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
const at = { device: `#/devices/${device}?span=15m`, explore: `#/explore?q=${encodeURIComponent(statement)}` };
const shots = [
  ...PAGES.map(({ name, at: path }) => ({ name, path: at[name] ?? path })),
  { name: "dead-letter", path: `#/dead-letters/${letter.id}` },
  { name: "overview-dark", path: "#/", options: { colorScheme: "dark" } },
  { name: "device-dark", path: at.device, options: { colorScheme: "dark" } },
  { name: "overview-phone", path: "#/", options: { viewport: { width: 390, height: 844 } } },
];

const chromium = await browser();
for (const { name, path, options } of shots.filter(({ name }) => !only || name.startsWith(only))) {
  const page = await open(chromium, { viewport: { width: 1280, height: 800 }, ...options });
  await page.goto(`${http}/${path}`);
  if (name.startsWith("overview")) await page.locator(".says:has-text('in view')").waitFor();
  // Long enough for rates, which need two looks, and for readings to pass by.
  await page.waitForTimeout(name === "system" ? 15_000 : 6_500);
  await page.screenshot({ path: new URL(`../docs/images/web-${name}.png`, import.meta.url).pathname });
  await page.context().close();
}
await chromium.close();
