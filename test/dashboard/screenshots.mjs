// screenshots.mjs PACKAGES URL DIRECTORY: pictures of the dashboard at that address, for README.md and
// doc/. `make screenshots` runs it.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";

const [packages, url, directory] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/package.json`)("playwright-core");
const SHOP = "site=shop.example&tz=UTC";
const DESK = { width: 1280, height: 860 };
const PICTURES = [
  { name: "dashboard", path: `/?${SHOP}&period=7d&interval=hour`, viewport: DESK },
  { name: "dashboard_dark", path: `/?${SHOP}&metric=events&event=page_view&compare=off`, viewport: DESK, colorScheme: "dark" },
  { name: "dashboard_phone", path: `/?${SHOP}&period=7d&metric=events`, viewport: { width: 375, height: 780 } },
  { name: "dashboard_live", path: `/?${SHOP}&view=live`, viewport: DESK, view: "live" },
  { name: "dashboard_operator", path: "/?tz=UTC&view=operator", viewport: DESK, view: "operator" },
];

mkdirSync(directory, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.FI_CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"],
});
for (const { name, path, view = "overview", ...options } of PICTURES) {
  const page = await browser.newPage({ locale: "en-US", reducedMotion: "reduce", ...options });
  await page.goto(url + path);
  await page.waitForFunction(shown => {
    const element = document.getElementById(`view-${shown}`);
    return element.dataset.state === "fresh" && !element.hasAttribute("aria-busy");
  }, view);
  await page.screenshot({ path: `${directory}/${name}.png`, animations: "disabled" });
  await page.close();
  console.log(`${directory}/${name}.png`);
}
await browser.close();
