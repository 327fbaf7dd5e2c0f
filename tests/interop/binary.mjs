// Pushes bytes and receives them in a reply, a push and a broadcast; then an error reply and a crash.
import {connect, finish, join, emit} from "./client.mjs"

const numbers = buffer => Array.from(new Uint8Array(buffer))
const bytes = (...values) => new Uint8Array(values).buffer

const socket = connect()
const channel = socket.channel("room:é")
channel.on("bin", payload => emit("pushed", numbers(payload)))
channel.on("msg", payload => emit("broadcast", numbers(payload)))
channel.onError(payload => {
  emit("crashed", payload)
  finish(socket)
})

const steps = [
  next => channel.push("bin", bytes(0, 1, 128, 255)).receive("ok", reply => {
    emit("replied", numbers(reply))
    next()
  }),
  next => channel.push("bin", bytes()).receive("ok", reply => {
    emit("replied", numbers(reply))
    next()
  }),
  next => {
    channel.push("push_binary", {bytes: [9, 8, 7]})
    channel.push("broadcast", bytes(5, 254)).receive("ok", reply => {
      emit("replied", reply)
      next()
    })
  },
  next => channel.push("echo_error", {reason: "x"}).receive("error", reply => {
    emit("failed", reply)
    next()
  }),
  () => channel.push("crash", {}),
]

function run(number) {
  steps[number](() => run(number + 1))
}

join(channel).receive("ok", () => run(0))
