// Shows a text while it is written, as docs/tasks.md describes it, until killed.
//   node text.mjs BASE_URL FOLDER PACKAGE websocket|longpoll TASK_ID
// FOLDER has the node_modules with PACKAGE.
import {createHash} from "node:crypto"
import {createRequire} from "node:module"
import WebSocket from "ws"
import {XMLHttpRequest} from "./xml_http_request.mjs"

Object.assign(globalThis, {self: globalThis, window: globalThis, XMLHttpRequest}) // browsers have these

const [baseUrl, folder, name, transport, taskId] = process.argv.slice(2)
const {LongPoll, Socket} = createRequire(`${folder}/package.json`)(name)

function emit(event, data = null) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

function hash(string) {
  return createHash("sha256").update(string).digest("hex")
}

const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  transport: transport === "longpoll" ? LongPoll : WebSocket,
})
socket.onClose(event => emit("close", event?.code ?? null))
socket.connect()
const channel = socket.channel(`task:${taskId}`, {})
let text = ""
channel.on("output", output => {
  const start = output.seq - output.text.length
  if (start > text.length) return emit("hole", output)
  text = text.slice(0, start) + output.text
  emit("output", text.length)
})
channel.on("progress", payload => {
  if (payload.status !== "processing") emit("end", [hash(text), hash(payload.result_data.text)])
})
channel.join().receive("ok", response => emit("joined", response))
