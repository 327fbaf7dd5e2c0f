// Push bytes, hear them in a reply, in a push and in a broadcast; then an error and a crash.
import {connect, finish, join, say} from "./client.mjs"

const numbers = buffer => Array.from(new Uint8Array(buffer))
const bytes = (...values) => new Uint8Array(values).buffer

const socket = connect()
const channel = socket.channel("room:é")
channel.on("bin", payload => say("pushed", numbers(payload)))
channel.on("msg", payload => say("broadcast", numbers(payload)))
channel.onError(payload => {
  say("crashed", payload)
  finish(socket)
})

const steps = [
  next => channel.push("bin", bytes(0, 1, 128, 255)).receive("ok", reply => {
    say("replied", numbers(reply))
    next()
  }),
  next => channel.push("bin", bytes()).receive("ok", reply => {
    say("replied", numbers(reply))
    next()
  }),
  next => {
    channel.push("push_binary", {bytes: [9, 8, 7]})
    channel.push("broadcast", bytes(5, 254)).receive("ok", reply => {
      say("replied", reply)
      next()
    })
  },
  next => channel.push("echo_error", {reason: "x"}).receive("error", reply => {
    say("failed", reply)
    next()
  }),
  () => channel.push("crash", {}),
]

function run(number) {
  steps[number](() => run(number + 1))
}

join(channel).receive("ok", () => run(0))
