// The inspector of one client: its messages as they pass, and what is wrong with them.
import {html, useRef, useState} from "../vendor/htm-preact.js"
import {href} from "../router.js"
import {bytes, Empty, Loading, Notice, number, Page} from "../ui.js"
import {useList} from "../lists.js"

const SHOWN = 500
const clock = at => new Date(at).toLocaleTimeString("en-GB") + at.slice(19, 23)

// [topic, event, refs, payload] of a V1 object or a V2 array.
function parts(message) {
  if (Array.isArray(message)) return [message[2], message[3], `${message[0] ?? "–"} ${message[1] ?? "–"}`, message[4]]
  if (message && typeof message === "object") return [message.topic, message.event, `${message.ref ?? "–"}`, message.payload]
  return ["", "", "", message]
}

function Frame({frame}) {
  const [topic, event, refs, payload] = parts(frame.message)
  return html`
    <li class=${`${frame.from_client ? "in" : "out"} ${frame.marks.length ? "marked" : ""}`}>
      <time datetime=${frame.at}>${clock(frame.at)}</time>
      <span class="way" title=${frame.from_client ? "from the client" : "to the client"}>${frame.from_client ? "→ server" : "← client"}</span>
      <div><strong>${String(event)}</strong> <code class="topic">${String(topic)}</code> <span class="muted">#${frame.number} · ${refs} · ${bytes(frame.size_bytes)}</span>
        <pre tabindex="0">${frame.is_binary ? `${frame.size_bytes} bytes of binary data` : typeof payload === "string" ? payload : JSON.stringify(payload)}</pre>
        ${frame.marks.map(mark => html`<p class="mark"><strong>${mark.level}, ${mark.side}</strong> <code>${mark.rule}</code> ${mark.text}</p>`)}</div>
    </li>`
}

export function Inspector({id}) {
  const [paused, pause] = useState(false)
  const seen = useRef({frames: [], after: 0})
  const asked = () => ({id, after: seen.current.after})
  const onAnswer = answer => {
    const marked = new Map((answer.marked || []).map(frame => [frame.number, frame]))
    const frames = [...seen.current.frames.map(frame => marked.get(frame.number) || frame), ...answer.frames].slice(-SHOWN)
    seen.current = {frames, after: answer.last}
    return {...answer, frames}
  }
  const {answer, error} = useList("admin:sockets", "frames", asked, {pause: paused || seen.current.ended ? 0 : 1000, onAnswer, key: paused ? "paused" : id})
  if (answer?.ended) seen.current.ended = true
  const wrong = answer?.frames.filter(frame => frame.marks.length).length || 0
  return html`
    <${Page} title=${`Client ${id}`} actions=${html`
      <a class="quiet" href=${href("sockets")}>All clients</a>
      <button type="button" class="secondary" aria-pressed=${paused ? "true" : "false"} onClick=${() => pause(!paused)}>${paused ? "Continue" : "Pause"}</button>`}>
      ${error && !answer?.ended && html`<${Notice} kind="bad">${error.message}<//>`}
      ${!answer && !error && html`<${Loading} />`}
      ${answer?.ended && html`<${Notice} kind="warning">The connection was closed: ${answer.ended}.<//>`}
      ${answer && html`<p class="note" role="status">${number(answer.last)} messages since you began to look${answer.last > SHOWN && `; the last ${SHOWN} are shown`},
        ${" "}${answer.is_checked ? wrong ? html`<strong class="slow">${number(wrong)} of them wrong</strong>` : "none of them wrong" : "not checked against the protocol"}.
        Payloads are cut, and credentials are hidden. Refs are join_ref and ref.</p>`}
      ${answer && (answer.frames.length === 0 ? html`<${Empty} title="Nothing has passed yet"><p>Messages appear here by themselves, from now on.</p><//>` : html`
        <ol class="log messages panel" reversed>${[...answer.frames].reverse().map(frame => html`<${Frame} key=${frame.number} frame=${frame} />`)}</ol>`)}
    <//>`
}
