// Runs the Presence class of phoenix.js: joins as a user, prints joins, leaves and syncs, until killed.
import {Presence} from "phoenix"
import {args, connect, join, emit} from "./client.mjs"

const [user] = args
const channel = connect({user}).channel("presence:lobby")
const presence = new Presence(channel)

const devices = found => (found ? found.metas.length : 0)
presence.onJoin((key, current) => emit("came", [key, devices(current)]))
presence.onLeave((key, current) => emit("went", [key, devices(current)]))
presence.onSync(() => emit("sync", Object.fromEntries(
  presence.list((key, found) => [key, found.metas.map(meta => meta.away ?? false)]),
)))

join(channel)
process.stdin.on("data", data => channel.push("update", JSON.parse(data.toString())))
