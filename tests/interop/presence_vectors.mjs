// Plays the vectors of data/presence.json with the Presence class of phoenix.js; prints [id, presences].
import {readFileSync} from "node:fs"
import {Presence} from "phoenix"

const play = ({steps}) => {
  const listeners = {}
  let joins = 1
  const channel = {on: (event, callback) => (listeners[event] = callback), joinRef: () => `${joins}`}
  const presence = new Presence(channel)
  for(const {event, payload} of steps){
    if(event === "rejoined") joins += 1
    else listeners[event](payload)
  }
  return presence.state
}

const {cases} = JSON.parse(readFileSync(process.argv[2], "utf8"))
for(const one of cases) console.log(JSON.stringify([one.id, play(one)]))
