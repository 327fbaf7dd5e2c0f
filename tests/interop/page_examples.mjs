// Runs JavaScript of a page of docs/ as a browser would, and prints what each block has got.
//   node page_examples.mjs BASE_URL < JSON
// The JSON has `common`, code that all blocks use, and `blocks`; each block declares what is printed.
import {readFileSync} from "node:fs"
import {connect, baseUrl, emit, finish} from "./client.mjs"

const {common, blocks, photo, recording} = JSON.parse(readFileSync(0, "utf8"))
const ofBrowser = globalThis.fetch
globalThis.fetch = (path, options) => ofBrowser(baseUrl + path, options)

const socket = connect()
const bytes = text => Buffer.from(text, "base64")
const fileInput = {files: [new File([bytes(photo)], "photo.jpg", {type: "image/jpeg"})]}
const shown = {caption: {textContent: ""}, answer: {textContent: ""}}
const AsyncFunction = (async () => {}).constructor

const names = ["socket", "fileInput", "chunks", "caption", "answer"]
const given = [socket, fileInput, [bytes(recording)], shown.caption, shown.answer]

for (const {code, result} of blocks) {
  const own = code.includes("const photo =") ? "" : "const photo = await send(fileInput.files[0])\n"
  const run = new AsyncFunction(...names, `${common}\n${own}${code}\nreturn ${result}`)
  emit("result", await run(...given))
}
emit("shown", [shown.caption.textContent, shown.answer.textContent])
finish(socket)
