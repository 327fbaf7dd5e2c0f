// Joins a topic and prints the events that are published there, until killed.
//   node listen.mjs BASE_URL FOLDER PACKAGE TOKEN TOPIC EVENT
// FOLDER has the node_modules with PACKAGE.
import {createRequire} from "node:module"
import WebSocket from "ws"
import {XMLHttpRequest} from "./xml_http_request.mjs"

Object.assign(globalThis, {self: globalThis, window: globalThis, XMLHttpRequest}) // browsers have these

const [baseUrl, folder, name, token, topic, event] = process.argv.slice(2)
const {Socket} = createRequire(`${folder}/package.json`)(name)

function emit(what, data = null) {
  process.stdout.write(JSON.stringify([what, data]) + "\n")
}

const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  transport: WebSocket,
  params: {token},
})
socket.connect()
const channel = socket.channel(topic, {})
channel.on(event, payload => emit("heard", payload))
channel.join().receive("ok", () => emit("joined")).receive("error", reason => emit("refused", reason))
