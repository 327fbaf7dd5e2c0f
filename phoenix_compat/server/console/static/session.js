// The key, the API and the socket of the console. The key stays in this tab (sessionStorage).
import {useEffect, useRef, useState} from "./vendor/htm-preact.js"

const KEY = "console.key"
const SOCKET = "/console/socket"

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || `The server answered ${status}.`)
    this.status = status
    this.problem = problem
  }
}

export const key = () => sessionStorage.getItem(KEY)

// Calls the API; returns the parsed answer. Raises ApiError, or TypeError without a connection.
export async function api(path, {method = "GET", body, headers = {}, raw = false} = {}) {
  const sent = {...headers}
  if (key()) sent.Authorization = `Bearer ${key()}`
  if (body !== undefined && !raw) sent["Content-Type"] = "application/json"
  const answer = await fetch(path, {
    method, headers: sent, credentials: "omit",
    body: body === undefined || raw ? body : JSON.stringify(body),
  })
  const parsed = await answer.json().catch(() => ({}))
  if (!answer.ok) {
    if (answer.status === 401 && state.phase === "open") signOut(parsed.detail)
    throw new ApiError(answer.status, parsed)
  }
  return parsed
}

// The state of the session; components follow it with useSession.
//   phase        checking | sign_in | open
//   info         what GET /api/console/session says
//   connection   connecting | open | lost
let state = {phase: "checking", info: null, error: "", connection: "connecting"}
const followers = new Set()

function change(values) {
  state = {...state, ...values}
  followers.forEach(follow => follow(state))
}

export function useSession() {
  const [seen, setSeen] = useState(state)
  useEffect(() => {
    followers.add(setSeen)
    setSeen(state)
    return () => followers.delete(setSeen)
  }, [])
  return seen
}

let socket = null

// Finds out whether the console opens with the key of this tab, and connects.
export async function begin() {
  change({phase: state.phase === "open" ? "open" : "checking", error: ""})
  try {
    const info = await api("/api/console/session")
    change({phase: "open", info, error: ""})
    connect()
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      const reason = !key() ? "" : error.status === 403 ? "This key does not have the scope “operate”." : error.message
      sessionStorage.removeItem(KEY)
      change({phase: "sign_in", error: reason})
      return
    }
    if (error instanceof ApiError && error.status === 429) {
      change({phase: "sign_in", error: error.message})
      return
    }
    change({connection: "lost"})
    setTimeout(begin, 1500)
  }
}

export async function signIn(given) {
  if (!given.trim()) {
    change({phase: "sign_in", error: "Enter a key."})
    return
  }
  sessionStorage.setItem(KEY, given.trim())
  await begin()
}

export function signOut(reason = "") {
  sessionStorage.removeItem(KEY)
  socket?.disconnect()
  socket = null
  topics.forEach(topic => { topic.channel = null })
  change({phase: "sign_in", error: reason, info: null})
}

function connect() {
  if (socket) return
  socket = new window.Phoenix.Socket(SOCKET, {
    ...(key() ? {authToken: key()} : {}),
    heartbeatIntervalMs: 15000,
    reconnectAfterMs: tries => [200, 500, 1000, 2000][tries - 1] || 3000,
    rejoinAfterMs: tries => [300, 1000, 2000][tries - 1] || 3000,
  })
  socket.onOpen(() => change({connection: "open"}))
  socket.onClose(() => change({connection: "lost"}))
  socket.onError(() => { change({connection: "lost"}); checkKey() })
  socket.connect()
  topics.forEach(join)
}

// A refused websocket does not say why: ask whether the key is still good, at most every 5 s.
let checked = 0
async function checkKey() {
  if (!key() || Date.now() - checked < 5000) return
  checked = Date.now()
  await api("/api/console/session").catch(() => {})
}

// Topics that components use: joined once, left when the last component is gone.
const topics = new Map()

function join(topic) {
  const channel = topic.channel = socket.channel(topic.name, {})
  channel.onMessage = (event, payload) => {
    if (!event.startsWith("phx_") && !event.startsWith("chan_")) topic.handlers.forEach(handle => handle(event, payload))
    return payload
  }
  channel.join()
    .receive("ok", answer => topic.handlers.forEach(handle => handle("joined", answer)))
    .receive("error", reason => topic.handlers.forEach(handle => handle("refused", reason)))
}

function use(name, handle) {
  const topic = topics.get(name) || {name, handlers: new Set(), channel: null, last: null}
  const isNew = !topics.has(name)
  topics.set(name, topic)
  topic.handlers.add(handle)
  if (isNew && socket) join(topic)
  return topic
}

function leave(name, handle) {
  const topic = topics.get(name)
  if (!topic) return
  topic.handlers.delete(handle)
  if (topic.handlers.size) return
  topics.delete(name)
  topic.channel?.leave()
}

// Calls `handle(event, payload)` for each event of a topic. "joined" comes with the answer to each
// join, also after a reconnect; "refused" with the reason. Returns push(event, payload): a promise.
export function useChannel(name, handle) {
  const latest = useRef(handle)
  latest.current = handle
  useEffect(() => {
    if (!name) return undefined
    const own = (event, payload) => latest.current(event, payload)
    use(name, own)
    return () => leave(name, own)
  }, [name])
  return (event, payload = {}) => new Promise((resolve, reject) => {
    const channel = topics.get(name)?.channel
    if (!channel) { reject(new Error("The console is not connected.")); return }
    channel.push(event, payload)
      .receive("ok", resolve)
      .receive("error", answer => reject(new Error(answer.detail || answer.message || answer.reason || "refused")))
      .receive("timeout", () => reject(new Error("The server did not answer.")))
  })
}

// The newest state of a LiveChannel, or null.
export function useLive(name) {
  const [newest, setNewest] = useState(() => topics.get(name)?.last ?? null)
  useChannel(name, (event, payload) => {
    if (event !== "joined" && event !== "snapshot") return
    const topic = topics.get(name)
    if (topic) topic.last = payload
    setNewest(payload)
  })
  return newest
}

// The answer of a GET that is asked again when `path` changes: {answer, error, again}.
export function useApi(path) {
  const [found, setFound] = useState({answer: null, error: null, path: null})
  const asked = useRef(0)
  const again = async () => {
    const number = ++asked.current
    try {
      const answer = await api(path)
      if (number === asked.current) setFound({answer, error: null, path})
    } catch (error) {
      if (number === asked.current) setFound(old => ({...old, error, path}))
    }
  }
  useEffect(() => { if (path) again() }, [path])
  return {...found, answer: found.path === path ? found.answer : null, again}
}
