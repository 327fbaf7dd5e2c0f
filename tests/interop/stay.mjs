// Join and stay: whatever happens to the server, phoenix.js comes back by itself. Until killed.
import {args, connect, join, say} from "./client.mjs"

const socket = connect({user: "ann"})
const channel = socket.channel(args[0])
channel.on("progress", progress => {
  if (progress.status === "completed") say("completed")
})
channel.onError(payload => say("errored", payload ?? null))
join(channel)
process.stdin.on("data", data => {
  const event = data.toString().trim()
  channel.push(event, {from: "node"}).receive("ok", reply => say("replied", reply))
})
