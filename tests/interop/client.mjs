// phoenix.js as an app uses it, over `ws`. Every script says what happens as one JSON line per event.
import {Socket} from "phoenix"
import WebSocket from "ws"

export const [baseUrl, ...args] = process.argv.slice(2)

export function say(event, data = null) {
  process.stdout.write(JSON.stringify([event, data]) + "\n")
}

export function connect(params = {}) {
  const socket = new Socket(baseUrl.replace("http", "ws") + "/socket", {transport: WebSocket, params})
  socket.onOpen(() => say("open"))
  socket.onClose(event => say("close", event.code))
  socket.connect()
  return socket
}

export function join(channel) {
  return channel.join()
    .receive("ok", response => say("joined", response))
    .receive("error", response => say("refused", response))
    .receive("timeout", () => say("timeout"))
}

export function finish(socket) {
  socket.disconnect(() => process.exit(0))
}
