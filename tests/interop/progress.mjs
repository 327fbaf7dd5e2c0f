// Join a task, hear its progress to the end, leave.
import {args, connect, finish, join, say} from "./client.mjs"

const socket = connect()
const channel = socket.channel(`task:${args[0]}`)
channel.on("progress", progress => {
  say("progress", progress)
  if (progress.status !== "completed") return
  channel.leave().receive("ok", () => {
    say("left")
    finish(socket)
  })
})
join(channel).receive("error", () => {
  channel.leave()
  finish(socket)
})
