// Helpers for scripts that use phoenix.js over `ws`. A script prints one JSON line per event.
import {Socket} from "phoenix"
import WebSocket from "ws"

export const [baseUrl, ...args] = process.argv.slice(2)

export function emit(event, data = null) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

export function connect(params = {}) {
  const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {transport: WebSocket, params})
  socket.onOpen(() => emit("open"))
  socket.onClose(event => emit("close", event.code))
  socket.connect()
  return socket
}

export function join(channel) {
  return channel.join()
    .receive("ok", response => emit("joined", response))
    .receive("error", response => emit("refused", response))
    .receive("timeout", () => emit("timeout"))
}

export function finish(socket) {
  socket.disconnect(() => process.exit(0))
}
