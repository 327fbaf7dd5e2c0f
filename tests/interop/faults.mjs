// Runs phoenix.js against the fault server: one socket for each scenario, all at once, until killed.
//   node faults.mjs BASE_URL CLIENT [FOLDER PACKAGE [ID,…]]
// FOLDER has the node_modules with PACKAGE; by default it is this folder, and the package is `phoenix`. With ids it
// plays only these scenarios.
// This is the app that `GET /control/scenarios` describes: it reports on the channel what it received.
// The timers are the defaults of phoenix.js, except for those of 10 s and more.
import {createRequire} from "node:module"
import {dirname} from "node:path"
import {fileURLToPath} from "node:url"
import {isMainThread, Worker, workerData} from "node:worker_threads"
import WebSocket from "ws"

Object.assign(globalThis, {self: globalThis, window: globalThis}) // versions before 1.7 want them
// An error in a callback ends no page, so it must not end this process: 1.3 to 1.5 fail on binary messages.
process.on("uncaughtException", error => process.stderr.write(`${error}\n`))

const here = dirname(fileURLToPath(import.meta.url))
const [baseUrl, client, folder = here, name = "phoenix", ids = ""] = process.argv.slice(2)
const {Presence, Socket} = createRequire(`${folder}/package.json`)(name)
const sizes = presence => Object.fromEntries(presence.list((key, {metas}) => [key, metas.length]))

let tokens = 0

function play({url, topic}) {
  const params = () => ({token: `t${++tokens}`})
  const socket = new Socket(url, {transport: WebSocket, heartbeatIntervalMs: 700, timeout: 1500, params})
  const channel = use(socket, topic)
  let isLost = false

  socket.onClose(() => {
    if (isLost) return
    isLost = true
    channel.push("buffered", {})
    channel.whenLost.forEach(act => act())
  })
  socket.connect()
}

function use(socket, topic) {
  const channel = socket.channel(topic)
  const acts = channel.whenLost = []
  const actions = {
    leave_and_join: () => {
      channel.leave()
      use(socket, topic)
    },
    join_and_leave: ({topic}) => {
      const other = socket.channel(topic)
      other.join()
      other.leave()
    },
    join_when_lost: ({topic}) => acts.push(() => socket.channel(topic).join()),
    push_when_lost: ({timeout_ms}) => acts.push(() => channel.push("outdated", {}, timeout_ms)
      .receive("timeout", () => channel.push("heard", {expired: true}))),
    // Nothing of this thread runs meanwhile.
    suspend: ({seconds}) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000),
  }

  watchPresence(channel)
  channel.on("ask", payload => channel.push(
    "heard", payload instanceof ArrayBuffer ? {bytes: payload.byteLength} : payload,
  ))
  channel.on("do", payload => {
    actions[payload.action](payload)
    if (payload.action !== "leave_and_join") channel.push("heard", {done: payload.action})
  })
  channel.join().receive("ok", () => channel.push("echo", {some: "payload"})
    .receive("ok", reply => channel.push("heard", {reply}))
    .receive("timeout", () => channel.push("heard", {timeout: true})))
  return channel
}

function watchPresence(channel) {
  if (typeof Presence !== "function") return // 1.3 has functions that the app calls instead
  const presence = new Presence(channel)
  presence.onSync(() => channel.push("heard", {present: sizes(presence)}))
}

function playInThread(scenario) {
  new Worker(new URL(import.meta.url), {argv: process.argv.slice(2), workerData: scenario})
}

async function main() {
  const headers = {"X-Control-Token": process.env.CONTROL_TOKEN ?? ""}
  const answer = await fetch(`${baseUrl}/control/scenarios?client=${client}`, {headers})
  const {scenarios} = await answer.json()
  const chosen = scenarios.filter(({id}) => !ids || ids.split(",").includes(id))
  chosen.forEach(scenario => (scenario.action === "suspend" ? playInThread : play)(scenario))
  process.stdout.write(JSON.stringify(["playing", chosen.length]) + "\n")
}

if (isMainThread) await main()
else play(workerData)
