// Chooses a photo in a page in headless Chromium and prints what happens, as lines `[type, text]`, until killed.
//   node photo.mjs CHROMIUM URL PHOTO
import {chromium} from "playwright-core"

const [executablePath, url, photo] = process.argv.slice(2)

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
await page.exposeFunction("said", text => emit("state", text))
await page.goto(url)
await page.evaluate(() => {
  const state = document.getElementById("state")
  new MutationObserver(() => said(state.textContent)).observe(state, {childList: true})
  const picture = document.getElementById("picture")
  picture.addEventListener("load", () => said(`picture ${picture.naturalWidth} ${picture.src}`))
})
await page.setInputFiles("#photo", photo)
