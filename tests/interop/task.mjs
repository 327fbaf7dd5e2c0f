// Follows one task with a version of npm `phoenix`, over one transport, until killed. Without an id it creates
// the task.
//   node task.mjs BASE_URL FOLDER PACKAGE websocket|longpoll [TASK_ID]
// FOLDER has the node_modules with PACKAGE.
import {createRequire} from "node:module"
import WebSocket from "ws"
import {XMLHttpRequest} from "./xml_http_request.mjs"

Object.assign(globalThis, {self: globalThis, window: globalThis, XMLHttpRequest}) // browsers have these

const [baseUrl, folder, name, transport, taskId] = process.argv.slice(2)
const {LongPoll, Socket} = createRequire(`${folder}/package.json`)(name)

function emit(event, data = null) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

async function create() {
  const answer = await fetch(`${baseUrl}/api/tasks`, {
    method: "POST", headers: {"content-type": "application/json"},
    body: JSON.stringify({input_data: {type: "image", prompt: `Medieval monk by ${name}`}}),
  })
  const task = await answer.json()
  emit("created", task)
  return task.task_id
}

const id = taskId ?? await create()
const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  transport: transport === "longpoll" ? LongPoll : WebSocket,
})
socket.onOpen(() => emit("open"))
socket.onClose(event => emit("close", event?.code ?? null))
socket.connect()
const channel = socket.channel(`task:${id}`, {})
channel.on("progress", payload => emit(payload.status === "processing" ? "progress" : "end", payload))
channel.join()
  .receive("ok", response => emit("joined", response))
  .receive("error", response => emit("refused", response))
