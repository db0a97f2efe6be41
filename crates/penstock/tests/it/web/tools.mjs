// The browser, and what tests ask of it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const tools = createRequire(`${process.env.PENSTOCK_TEST_DEPS}/package.json`);
const { chromium } = tools("playwright-core");
export const mqtt = tools("mqtt");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

/** How long something may take to show: the server under test is a debug build on a busy machine. */
export const PATIENCE_MS = 20_000;

const QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function browser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // Chromium's sandbox does not run as root, nor in most containers; the pages are our own.
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...QUIET] });
}

/** A page in a context of its own, which collects what went wrong in it. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  // What the server refuses is part of some flows; what the security policy refuses never is.
  page.on("console", (said) => {
    if (said.type() === "error" && !said.text().startsWith("Failed to load resource")) wrong.push(`console: ${said.text()}`);
  });
  page.wrong = wrong;
  return page;
}

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** Rules of WCAG 2.1, levels A and AA, and axe's best practice. */
export async function accessible(page, where) {
  await page.evaluate(axe); // not by a script element: the page's policy would refuse that
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const said = found.violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.html} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
  check(said.length === 0, `${where}: ${said.join("\n")}`);
}

/** Asks until it holds. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await ask()) return;
    check(Date.now() < end, `still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const see = (page, selector) => page.locator(selector).first().waitFor();

/** A figure among those at the head of a page. */
export const figure = (page, name) => page.locator(`.figures > div:has(dt:text-is("${name}")) dd`).first();

/** What the server has of alerts and rules, past the page: whether it was late, or the page. */
async function known(http) {
  const ask = (path) => fetch(http + path, { signal: AbortSignal.timeout(5000) }).then((answer) => answer.text()).catch((error) => error.message);
  const metrics = (await ask("/metrics")).split("\n").filter((line) => /^penstock_(reader_lag|alert|rule).* (?!0$)/.test(line));
  return `${(await ask("/v1/alerts?limit=20")).slice(0, 3000)}\n${metrics.join("\n")}`;
}

/**
 * Runs what a person does, in a page of its own; the first that goes wrong is told with what was in sight, and what the server at
 * `http` has of alerts, if it is named; and ends everything.
 */
export function flows(chromium, http) {
  return async (name, options, steps) => {
    const began = Date.now();
    const page = await open(chromium, options);
    try {
      await steps(page);
      check(page.wrong.length === 0, page.wrong.join("\n"));
    } catch (error) {
      const seen = await page.locator("main").innerText().catch(() => "");
      const had = http ? await known(http) : "";
      console.error(`${name}: ${error.message}\n${page.url()}\n${page.wrong.join("\n")}\n${seen.slice(0, 1500)}\n${had}`);
      await chromium.close();
      process.exit(1);
    }
    await page.context().close();
    console.log(`${name}: ${Date.now() - began} ms`);
  };
}
