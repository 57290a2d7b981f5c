// driver.mjs PACKAGES: a real Chromium for FastIngest::Browser. It reads commands, one a line, as
// JSON, and writes one line with the result of each:
//
//   {"open": {...}}                            a page in a profile of its own: {"value": number}
//   {"page": n, "calls": [["goto", "..."], ["locator", "..."], ["innerText"]]}
//                                              methods of playwright, each of what the one before gave
//   {"page": n, "seen": true}                  what the page complained of since it was last asked
//   {"page": n, "barriers": true}              what axe-core finds
//   {"page": n, "requests": true}              the requests that it sent since then
//   {"page": n, "close": true}
//   {"quit": true}                             end, as it does with the end of its input
//
// The answer is {"value": ...} or {"error": "..."}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/package.json`);
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

const browser = await chromium.launch({
  executablePath: process.env.FI_CHROMIUM || "/usr/bin/chromium",
  timeout: 120_000,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server",
    // a page that asks for anything elsewhere does not get it, wherever the tests run
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
  ]
});

process.on("SIGTERM", async () => { await browser.close(); process.exit(1); });

const pages = new Map();
let opened = 0;

// Note what the page says, and each request that is for anybody but its server.
function watch(page, origin, seen) {
  page.on("console", message => seen.push(`console: ${message.type()}: ${message.text()}`));
  page.on("pageerror", error => seen.push(`error: ${error.message}`));
  page.on("crash", () => seen.push("error: the page crashed"));
  page.on("dialog", dialog => { seen.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("popup", () => seen.push("popup"));
  page.on("request", request => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !/^(?:data|blob|about):/.test(url)) seen.push(`request: ${url}`);
  });
}

async function open({ origin, timeout, ...options }) {
  const context = await browser.newContext({ locale: "en-US", timezoneId: "America/New_York", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const seen = [];
  const requests = [];

  page.setDefaultTimeout(timeout);
  watch(page, origin, seen);
  page.on("request", request => requests.push(`${request.method()} ${request.url().slice(origin.length)}`));
  pages.set(++opened, { page, context, seen, requests });
  return opened;
}

// Call one method after the other. A text that begins with "js:" is a function.
async function call(target, calls) {
  for (const [method, ...values] of calls) {
    const given = values.map(value => typeof value === "string" && value.startsWith("js:") ? (0, eval)(`(${value.slice(3)})`) : value);
    if (typeof target[method] === "function") target = await target[method](...given);
    else if (method in target) target = target[method];
    else throw new Error(`there is no ${method}`);
  }
  return target;
}

// The page's policy lets no script in, not even this one: playwright evaluates it behind its back.
async function barriers(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.target.join(" ")}: ${node.failureSummary.replace(/\s+/g, " ")}`));
}

async function answer(command) {
  if (command.open) return open(command.open);
  const { page, context, seen, requests } = pages.get(command.page);
  if (command.seen) return seen.splice(0);
  if (command.requests) return requests.splice(0);
  if (command.barriers) return barriers(page);
  if (command.close) { pages.delete(command.page); return context.close(); }
  const value = await call(page, command.calls);
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype ? null : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  let result;
  const command = JSON.parse(line);
  if (command.quit) {
    process.stdout.write("{}\n");
    break;
  }
  try {
    result = { value: (await answer(command)) ?? null };
  } catch (error) {
    result = { error: String(error.message) };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
await browser.close();
process.exit(0);
