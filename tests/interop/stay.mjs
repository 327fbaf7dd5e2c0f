// Joins a topic and stays: phoenix.js reconnects whatever happens to the server, until killed.
import {args, connect, join, emit} from "./client.mjs"

const socket = connect({user: "ann"})
const channel = socket.channel(args[0])
channel.on("progress", progress => {
  if (progress.status === "completed") emit("completed")
})
channel.onError(payload => emit("errored", payload ?? null))
join(channel)
process.stdin.on("data", data => {
  const event = data.toString().trim()
  channel.push(event, {from: "node"}).receive("ok", reply => emit("replied", reply))
})
