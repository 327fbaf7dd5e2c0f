// Runs phoenix.js over long-polling, directly or as the automatic fallback. Joins, pushes the events from
// standard input, and reconnects whatever happens to the server, until killed.
//   node longpoll.mjs BASE_URL TOPIC longpoll|fallback [AUTH_TOKEN]
import {LongPoll, Socket} from "phoenix"
import WebSocket from "ws"
import {args, baseUrl, join, emit} from "./client.mjs"

const [topic, mode, authToken] = args
const storage = new Map() // browsers have sessionStorage
const sessionStorage = {
  getItem: key => storage.get(key) ?? null,
  setItem: (key, value) => {
    storage.set(key, value)
    emit("stored", [key, value])
  },
}

const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  params: {user: "ann"},
  authToken,
  sessionStorage,
  ...(mode === "fallback" ? {transport: WebSocket, longPollFallbackMs: 2500} : {transport: LongPoll}),
})
socket.onOpen(() => emit("open", socket.conn instanceof LongPoll ? "longpoll" : "websocket"))
socket.onClose(event => emit("close", event.code))
socket.connect()

const channel = socket.channel(topic)
channel.on("msg", payload => emit("msg", payload))
channel.on("said", payload => emit("said", payload))
channel.onError(payload => emit("errored", payload ?? null))
join(channel)

process.stdin.on("data", data => {
  for (const line of data.toString().trim().split("\n")) {
    const [event, payload] = JSON.parse(line)
    if (event === "phx_leave") {
      channel.leave().receive("ok", () => emit("left"))
      continue
    }
    channel.push(event, payload)
      .receive("ok", response => emit("replied", response))
      .receive("error", response => emit("failed", response))
  }
})
