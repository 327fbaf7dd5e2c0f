// Watches tasks to their ends over one transport, and stays connected whatever happens to the server.
//   node watch.mjs BASE_URL websocket|longpoll TASK_ID…
import {LongPoll, Socket} from "phoenix"
import WebSocket from "ws"
import {args, baseUrl, emit, finish, join} from "./client.mjs"

const [transport, ...ids] = args
const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {
  transport: transport === "longpoll" ? LongPoll : WebSocket,
  reconnectAfterMs: () => 50,
  rejoinAfterMs: () => 50,
})
socket.onClose(event => emit("close", event.code))
socket.connect()

const waiting = new Set(ids)
for (const id of ids) {
  const channel = socket.channel(`task:${id}`)
  channel.on("progress", progress => {
    if (progress.status === "processing") return
    emit("ended", [id, progress.status, Object.keys(progress.result_data ?? {}).length > 0])
    channel.leave()
    waiting.delete(id)
    if (!waiting.size) finish(socket)
  })
  join(channel)
}
