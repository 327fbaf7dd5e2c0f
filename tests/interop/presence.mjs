// phoenix.js's own Presence: join as a user, say who comes, who goes and who is there. Until killed.
import {Presence} from "phoenix"
import {args, connect, join, say} from "./client.mjs"

const [user] = args
const channel = connect({user}).channel("presence:lobby")
const presence = new Presence(channel)

const devices = found => (found ? found.metas.length : 0)
presence.onJoin((key, current) => say("came", [key, devices(current)]))
presence.onLeave((key, current) => say("went", [key, devices(current)]))
presence.onSync(() => say("sync", Object.fromEntries(
  presence.list((key, found) => [key, found.metas.map(meta => meta.away ?? false)]),
)))

join(channel)
process.stdin.on("data", data => channel.push("update", JSON.parse(data.toString())))
