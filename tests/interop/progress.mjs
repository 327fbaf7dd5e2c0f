// Joins a task, receives its progress to the end, and leaves.
import {args, connect, finish, join, emit} from "./client.mjs"

const socket = connect()
const channel = socket.channel(`task:${args[0]}`)
channel.on("progress", progress => {
  emit("progress", progress)
  if (progress.status !== "completed") return
  channel.leave().receive("ok", () => {
    emit("left")
    finish(socket)
  })
})
join(channel).receive("error", () => {
  channel.leave()
  finish(socket)
})
