// Opens /docs in headless Chromium, light and dark, wide and narrow, and sends a request from it. Prints what it
// sees as lines `[event, data]`.
//   node docs_page.mjs CHROMIUM URL
import {readFileSync} from "node:fs"
import {createRequire} from "node:module"
import {chromium} from "playwright-core"

const [executablePath, url] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

function emit(event, data) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

async function look(browser, width, colorScheme) {
  const page = await browser.newPage({viewport: {width, height: 900}, colorScheme})
  page.on("console", message => emit("console", message.text()))
  page.on("pageerror", error => emit("uncaught", String(error)))
  page.on("request", request => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) emit("elsewhere", request.url())
  })
  await page.goto(`${url}/docs`)
  const list = page.locator("#operations-tasks-listTasks")
  await list.locator(".opblock-summary-control").click()
  await page.locator("#operations-tasks-createTask .opblock-summary-control").click()
  await list.locator(".try-out__btn").click()
  await list.locator(".execute").click()
  const status = list.locator(".live-responses-table tbody .response-col_status").first()
  emit("answered", (await status.innerText()).trim())
  emit("width", await page.evaluate(() => document.documentElement.scrollWidth))
  await page.evaluate(axe)
  const {violations} = await page.evaluate(() => axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}))
  emit("violations", violations.map(one => `${one.id}: ${one.nodes[0].html}`))
  await page.close()
}

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
})
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) {
    await look(browser, width, colorScheme)
  }
}
await browser.close()
emit("done", null)
