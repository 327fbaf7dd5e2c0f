// The connection of an app to one task, without a library, so that its frames can be shown as they are.

const HEARTBEAT_MS = 30000

// Joins `task:ID` and calls show({direction, text, at_ms}) for each frame and end(status) at the end.
// version: "1.0.0" or "2.0.0". Returns a function that leaves.
export function follow({id, version, key, show, progress, end}) {
  const began = performance.now()
  const topic = `task:${id}`
  const url = new URL("/socket/websocket", location.href)
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:"
  url.searchParams.set("vsn", version)
  if (key) url.searchParams.set("token", key)
  const socket = new WebSocket(url)
  let ref = 0
  let timer = null
  let ended = false
  const note = (direction, text) => show({direction, text, at_ms: performance.now() - began})
  const send = (joinRef, name, event, payload) => {
    ref += 1
    const text = JSON.stringify(version === "1.0.0"
      ? {topic: name, event, payload, ref: String(ref), ...(joinRef && {join_ref: joinRef})}
      : [joinRef, String(ref), name, event, payload])
    note("out", text)
    socket.send(text)
  }
  const close = status => {
    if (ended) return
    ended = true
    clearInterval(timer)
    end(status)
  }
  socket.onopen = () => {
    send("1", topic, "phx_join", {partial: true})
    timer = setInterval(() => send(null, "phoenix", "heartbeat", {}), HEARTBEAT_MS)
  }
  socket.onmessage = ({data}) => {
    note("in", data)
    const frame = JSON.parse(data)
    const [event, payload] = Array.isArray(frame) ? [frame[3], frame[4]] : [frame.event, frame.payload]
    if (event === "phx_reply" && payload.status === "error") close("refused")
    if (event !== "progress" && event !== "output") return
    progress(event, payload)
    if (payload.status === "completed" || payload.status === "failed") {
      send("1", topic, "phx_leave", {})
      close(payload.status)
      setTimeout(() => socket.close(), 300)
    }
  }
  socket.onclose = () => { note("info", ended ? "closed" : "the connection was lost"); close("lost") }
  return () => { close("left"); socket.close() }
}
