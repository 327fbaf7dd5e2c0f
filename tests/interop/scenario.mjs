// Takes a version of npm `phoenix` through everything that clients do, with the reference channel set: a refused
// connect, joins, replies, broadcasts, binary, presence, the auth token, a crash, a restart of the server.
//   node scenario.mjs BASE_URL FOLDER PACKAGE websocket|longpoll VERSION
// FOLDER has the node_modules with PACKAGE. It prints what happens; after "ready" the server must be restarted.
import {createRequire} from "node:module"
import WebSocket from "ws"
import {XMLHttpRequest} from "./xml_http_request.mjs"

Object.assign(globalThis, {self: globalThis, window: globalThis, XMLHttpRequest}) // browsers have these

const [baseUrl, folder, name, kind, versionText] = process.argv.slice(2)
const {LongPoll, Presence, Socket} = createRequire(`${folder}/package.json`)(name)
const version = versionText.split(".").map(Number)
const is = (major, minor) => version[0] > major || (version[0] === major && version[1] >= minor)
const transport = kind === "longpoll" ? LongPoll : WebSocket
const url = baseUrl.replace("http", "ws") + "/extra"
const numbers = buffer => Array.from(new Uint8Array(buffer))

function emit(event, data = null) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

function asked(channel, event, payload) {
  return new Promise(resolve => channel.push(event, payload).receive("ok", resolve))
}

async function refused() {
  const socket = new Socket(url, {transport, params: {token: "deny"}})
  await new Promise(resolve => {
    socket.onError(resolve)
    if (kind === "longpoll") process.once("unhandledRejection", resolve) // versions before 1.7 throw
    socket.connect()
  })
  socket.disconnect()
  process.removeAllListeners("unhandledRejection")
  emit("connect refused")
}

await refused()
const socket = new Socket(url, {transport, params: {user: "ann"}, authToken: "a?>b~/+ 12"})
socket.onOpen(() => emit("open"))
socket.onClose(() => emit("close"))
socket.connect()

const channel = socket.channel("room:a", {}) // before 1.8 binary messages need ASCII
channel.on("msg", payload => emit("broadcast", payload instanceof ArrayBuffer ? numbers(payload) : payload))
channel.onError(() => emit("errored"))
let joins = 0

async function joined(response) {
  emit("joined", response)
  joins += 1
  if (joins === 1) await talk()
  else if (joins === 2) emit("ready")
  else {
    emit("replied", await asked(channel, "echo", {again: true}))
    channel.leave().receive("ok", () => {
      emit("left")
      socket.disconnect(() => process.exit(0))
      setTimeout(() => process.exit(0), 500) // older versions do not call it over long-polling
    })
  }
}

async function talk() {
  emit("replied", await asked(channel, "echo", {text: "né 😀"}))
  emit("replied", await asked(channel, "broadcast", {n: 1}))
  if (kind === "websocket" && is(1, 6)) {
    emit("replied", numbers(await asked(channel, "bin", new Uint8Array([0, 1, 128, 255]).buffer)))
    emit("replied", await asked(channel, "broadcast", new Uint8Array([5, 254]).buffer))
  }
  if (is(1, 8)) emit("token", (await asked(channel, "whoami", {})).auth_token)
  await present()
  channel.push("crash", {})
}

async function present() {
  const lobby = socket.channel("presence:lobby", {})
  emit("present", await new Promise(resolve => {
    if (is(1, 4)) {
      const presence = new Presence(lobby)
      presence.onSync(() => resolve(presence.list(key => key)))
    } else {
      lobby.on("presence_state", state => resolve(Presence.list(Presence.syncState({}, state), key => key)))
    }
    lobby.join()
  }))
  await new Promise(resolve => lobby.leave().receive("ok", resolve))
}

channel.join()
  .receive("ok", joined)
  .receive("error", response => emit("refused", response))
