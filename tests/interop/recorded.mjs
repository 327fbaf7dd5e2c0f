// Runs phoenix.js through joins, a crash and a disconnect; prints every frame as `conformance trace` reads it.
import {Socket} from "phoenix"
import WebSocket from "ws"

const baseUrl = process.argv[2]
let connections = 0

class Recorded extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols)
    const conn = String(++connections)
    this.note = entry => {
      process.stdout.write(JSON.stringify({t: performance.now() / 1000, conn, ...entry}) + "\n")
    }
    this.note({open: url})
    this.addEventListener("message", ({data}) => this.note({from: "server", ...frame(data)}))
    this.addEventListener("close", ({code}) => this.note({from: "server", close: code}))
  }
  send(data) {
    this.note({from: "client", ...frame(data)})
    super.send(data)
  }
  close(code, reason) {
    // `ws` calls this too, with a Buffer, to answer the server's close frame
    if (!Buffer.isBuffer(reason)) this.note({from: "client", close: code ?? 1000})
    super.close(code, reason)
  }
}

function frame(data) {
  return typeof data === "string" ? {text: data} : {b64: Buffer.from(data).toString("base64")}
}

const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  transport: Recorded,
  params: {user: "ann"},
  heartbeatIntervalMs: 20_000,  // with a short one a busy machine makes the client reconnect
  reconnectAfterMs: () => 10,
  rejoinAfterMs: () => 10,
})
socket.connect()

const answered = push => new Promise(done => push.receive("ok", done).receive("error", done))
const heartbeat = () => new Promise(done => socket.ping(done))

let rooms = 0
let onJoined = null
const nextJoin = () => new Promise(done => { onJoined = done })
const room = socket.channel("room:a", {})
room.join().receive("ok", () => { rooms++; onJoined?.() })
await answered(room.push("echo", {early: true}))  // buffered until the join is answered
await answered(socket.channel("room:b").join())
await answered(socket.channel("nope:1").join())
await answered(room.push("broadcast", {n: 1}))
await answered(room.push("bin", new Uint8Array([1, 2, 255]).buffer))
room.push("push_binary", {})
await heartbeat()

for (const event of ["crash", "disconnect_me"]) {
  const again = nextJoin()
  room.push(event, {})
  await again
  await answered(room.push("echo", {after: event}))
}

room.leave()
const other = socket.channel("room:a", {})
await answered(other.join())
await answered(other.push("echo", {n: 2}))
const third = socket.channel("room:a", {})  // phoenix.js leaves the other channel itself
await answered(third.join())
await heartbeat()
socket.disconnect(() => process.exit(rooms === 3 ? 0 : 1))
