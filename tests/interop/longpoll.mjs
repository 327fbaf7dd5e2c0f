// phoenix.js over long-polling, at once or as its automatic fallback. Joins, does what standard input
// tells it, and stays, whatever happens to the server. Until killed.
//   node longpoll.mjs BASE_URL TOPIC longpoll|fallback [AUTH_TOKEN]
import {LongPoll, Socket} from "phoenix"
import WebSocket from "ws"
import {args, baseUrl, join, say} from "./client.mjs"

const [topic, mode, authToken] = args
const memory = new Map() // browsers have sessionStorage
const sessionStorage = {
  getItem: key => memory.get(key) ?? null,
  setItem: (key, value) => {
    memory.set(key, value)
    say("stored", [key, value])
  },
}

const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  params: {user: "ann"},
  authToken,
  sessionStorage,
  ...(mode === "fallback" ? {transport: WebSocket, longPollFallbackMs: 2500} : {transport: LongPoll}),
})
socket.onOpen(() => say("open", socket.conn instanceof LongPoll ? "longpoll" : "websocket"))
socket.onClose(event => say("close", event.code))
socket.connect()

const channel = socket.channel(topic)
channel.on("msg", payload => say("msg", payload))
channel.onError(payload => say("errored", payload ?? null))
join(channel)

process.stdin.on("data", data => {
  for (const line of data.toString().trim().split("\n")) {
    const [event, payload] = JSON.parse(line)
    if (event === "phx_leave") {
      channel.leave().receive("ok", () => say("left"))
      continue
    }
    channel.push(event, payload)
      .receive("ok", response => say("replied", response))
      .receive("error", response => say("failed", response))
  }
})
