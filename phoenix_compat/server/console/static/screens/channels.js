import {html, useEffect, useState} from "../vendor/htm-preact.js"
import {href} from "../router.js"
import {Dialog, Empty, Loading, Notice, number, Page} from "../ui.js"
import {Choice, Missing, Search, useFilter, useList} from "../lists.js"

export const title = "Channels"
export const path = "channels"

const ORDERS = {busiest: "Most messages", largest: "Most clients", name: "By name"}
const PAGE = 100

const rate = value => value === null ? "–" : value === 0 ? "0" : value < 9.95 ? value.toFixed(1) : number(Math.round(value))

function Presence({topic, push, onClose}) {
  const [found, setFound] = useState(null)
  const [error, setError] = useState(null)
  useEffect(() => { push("presence", {topic}).then(setFound, setError) }, [topic])
  return html`
    <${Dialog} title=${`Present on ${topic}`} onClose=${onClose}>
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
      ${!found && !error && html`<${Loading} />`}
      ${found && html`
        <p class="note">${number(found.found)} present${found.found > found.keys.length && `; the first ${found.keys.length} are listed`}</p>
        <dl class="facts presence">${found.keys.map(key => html`
          <dt>${key.key}${key.count > 1 && ` (${key.count})`}</dt>
          <dd><code>${JSON.stringify(key.metas[0])}</code></dd>`)}</dl>`}
    <//>`
}

export function Screen({query}) {
  const text = query.get("text") || ""
  const order = query.get("order") || "busiest"
  const set = useFilter(path, query)
  const [shown, show] = useState(null)
  const {answer, error, push} = useList("admin:channels", "list", {text, order, limit: PAGE})
  const actions = html`
    <${Search} label="Search" placeholder="Topic" value=${text} onInput=${value => set({text: value})} />
    <${Choice} label="Order" of=${ORDERS} value=${order} onChange=${value => set({order: value})} />`
  if (!answer) return html`<${Page} title=${title}>${error ? html`<${Notice} kind="bad">${error.message}<//>` : html`<${Loading} />`}<//>`
  return html`
    <${Page} title=${title} actions=${actions}>
      <p class="note" role="status">${number(answer.found)} ${answer.found === 1 ? "topic" : "topics"}${answer.found > answer.topics.length && `; the first ${answer.topics.length} are listed`}</p>
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
      <${Missing} silent=${answer.silent} />
      ${answer.topics.length === 0 ? html`
        <${Empty} title=${text ? "No topic fits" : "No topic is joined"}><p>A topic is listed while a client has joined it.</p><//>` : html`
        <div class="scroll panel flush" tabindex="0" role="region" aria-label="Topics">
          <table class="list">
            <thead><tr><th>Topic</th><th class="figure">Clients</th><th class="figure">Broadcasts / s</th>
              <th class="figure">Received / s</th><th class="figure">Present</th></tr></thead>
            <tbody>${answer.topics.map(each => html`<tr key=${each.topic}>
              <td class="wrap"><code class="topic">${each.topic}</code></td>
              <td class="figure"><a href=${href("sockets", {text: each.topic})} aria-label=${`${number(each.clients)} clients of ${each.topic}`}>${number(each.clients)}</a></td>
              <td class="figure">${rate(each.broadcasts_per_s)}</td>
              <td class="figure">${rate(each.received_per_s)}</td>
              <td class="figure">${each.presences ? html`<button type="button" class="quiet" onClick=${() => show(each.topic)}
                aria-label=${`${number(each.presences)} present on ${each.topic}`}>${number(each.presences)}</button>` : "–"}</td>
            </tr>`)}</tbody>
          </table>
        </div>`}
      ${shown && html`<${Presence} topic=${shown} push=${push} onClose=${() => show(null)} />`}
    <//>`
}
