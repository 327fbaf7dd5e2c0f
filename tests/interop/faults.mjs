// Runs phoenix.js against the fault server: one socket for each scenario, all at once, until killed.
// This is the app that `GET /control/scenarios` describes: it reports on the channel what it received.
// The timers are the defaults of phoenix.js, except for those of 10 s and more.
import {Presence, Socket} from "phoenix"
import WebSocket from "ws"

const [baseUrl, client] = process.argv.slice(2)
const sizes = presence => Object.fromEntries(presence.list((key, {metas}) => [key, metas.length]))

function play({url, topic}) {
  const socket = new Socket(url, {transport: WebSocket, heartbeatIntervalMs: 700, timeout: 1500})
  const channel = socket.channel(topic)
  const presence = new Presence(channel)
  let isLost = false

  presence.onSync(() => channel.push("heard", {present: sizes(presence)}))
  channel.on("ask", payload => channel.push(
    "heard", payload instanceof ArrayBuffer ? {bytes: payload.byteLength} : payload,
  ))
  channel.join().receive("ok", () => channel.push("echo", {some: "payload"})
    .receive("ok", reply => channel.push("heard", {reply}))
    .receive("timeout", () => channel.push("heard", {timeout: true})))
  socket.onClose(() => {
    if (!isLost) channel.push("buffered", {})
    isLost = true
  })
  socket.connect()
}

const headers = {"X-Control-Token": process.env.CONTROL_TOKEN ?? ""}
const answer = await fetch(`${baseUrl}/control/scenarios?client=${client}`, {headers})
const {scenarios} = await answer.json()
scenarios.forEach(play)
process.stdout.write(JSON.stringify(["playing", scenarios.length]) + "\n")
