// Says whether a version of npm `phoenix` comes back after the server closed with a code: prints each "open" and
// "close", until killed.
//   node close_code.mjs BASE_URL FOLDER PACKAGE
// FOLDER has the node_modules with PACKAGE.
import {createRequire} from "node:module"
import WebSocket from "ws"
import {XMLHttpRequest} from "./xml_http_request.mjs"

Object.assign(globalThis, {self: globalThis, window: globalThis, XMLHttpRequest}) // browsers have these

const [baseUrl, folder, name] = process.argv.slice(2)
const {Socket} = createRequire(`${folder}/package.json`)(name)
const reconnectAfterMs = () => 10
const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {transport: WebSocket, reconnectAfterMs})
const emit = (event, data = null) => process.stdout.write(JSON.stringify([event, data]) + "\n")
socket.onOpen(() => emit("open"))
socket.onClose(event => emit("close", event.code))
socket.connect()
setInterval(() => {}, 60_000) // so that it waits for what never comes
