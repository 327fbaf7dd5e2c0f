// Opens a page in headless Chromium and prints what its console says, as lines `[type, text]`, until killed.
//   node page.mjs CHROMIUM URL
import {chromium} from "playwright-core"

const [executablePath, url] = process.argv.slice(2)

function emit(event, data) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
  ],
})
const page = await browser.newPage()
page.on("console", message => emit(message.type(), message.text()))
page.on("pageerror", error => emit("uncaught", String(error)))
await page.goto(url)
emit("loaded", null)
