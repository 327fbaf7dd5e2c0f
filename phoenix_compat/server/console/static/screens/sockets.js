import {html, useState} from "../vendor/htm-preact.js"
import {href} from "../router.js"
import {bytes, Dialog, duration, Empty, Loading, Notice, number, Page} from "../ui.js"
import {Choice, Missing, Search, useFilter, useList} from "../lists.js"
import {Inspector} from "./frames.js"

export const title = "Sockets"
export const path = "sockets"

const ORDERS = {newest: "Newest first", oldest: "Oldest first", waiting: "Most unsent bytes"}
const PAGE = 50

const Owner = ({of}) => of === null ? html`<span class="muted">none yet</span>` : of || html`<span class="muted">anybody</span>`

const Topics = ({client}) => html`
  ${client.topics.slice(0, 3).map(topic => html`<code class="topic">${topic}</code> `)}
  ${client.joined > 3 && html`<span class="muted nowrap" title=${client.topics.join("\n")}>and ${client.joined - 3} more</span>`}
  ${client.joined === 0 && html`<span class="muted">no topics</span>`}`

const Row = ({client, onDisconnect}) => html`
  <tr>
    <td><code>${client.id}</code>${client.address && html`<br /><small>${client.address}</small>`}</td>
    <td><a href=${client.owner ? href(path, {owner: client.owner}) : null}><${Owner} of=${client.owner} /></a></td>
    <td>${client.transport === "longpoll" ? "Long-poll" : "WebSocket"}<br /><small>V${client.vsn[0]}${client.handler !== "UserSocket" && ` · ${client.handler}`}</small></td>
    <td class="wrap"><${Topics} client=${client} /></td>
    <td class="figure">${client.unsent_bytes ? html`<strong class="slow">${bytes(client.unsent_bytes)}</strong>` : "0"}</td>
    <td class="figure">${duration(client.age_s)}</td>
    <td class="figure">${client.heartbeat_age_s === null ? "–" : `${duration(client.heartbeat_age_s)} ago`}</td>
    <td><a class="quiet" href=${href([path, client.id])} aria-label=${`Messages of ${client.id}`}>Messages</a>
      <button type="button" class="quiet" onClick=${() => onDisconnect(client)} aria-label=${`Disconnect ${client.id}`}>Disconnect</button></td>
  </tr>`

function Confirm({owner, push, onDone, onClose}) {
  const disconnect = async () => {
    try {
      const done = await push("disconnect_owner", {owner})
      onDone({kind: "good", text: `${number(done.clients)} ${done.clients === 1 ? "client" : "clients"} disconnected.`})
    } catch (error) {
      onDone({kind: "bad", text: error.message})
    }
  }
  return html`
    <${Dialog} title="Disconnect all clients of an owner" onClose=${onClose}>
      <p>All connections of <strong>${owner || "clients without an owner"}</strong> are closed. Apps connect again by
        themselves, unless their key has been revoked.</p>
      <div class="row"><button type="button" class="danger" onClick=${disconnect}>Disconnect</button>
        <button type="button" class="secondary" onClick=${onClose}>Cancel</button></div>
    <//>`
}

export function Screen({parts, query}) {
  return parts[0] ? html`<${Inspector} id=${parts[0]} key=${parts[0]} />` : html`<${List} query=${query} />`
}

function List({query}) {
  const text = query.get("text") || ""
  const owner = query.get("owner")
  const order = query.get("order") || "newest"
  const offset = Number(query.get("offset")) || 0
  const set = useFilter(path, query)
  const [said, say] = useState(null)
  const [asking, ask] = useState(false)
  const {answer, error, again, push} = useList("admin:sockets", "list", {text, owner, order, offset, limit: PAGE})
  const disconnect = async client => {
    try {
      await push("disconnect", {id: client.id})
      say({kind: "good", text: `Client ${client.id} was disconnected.`})
    } catch (refused) {
      say({kind: "bad", text: refused.message})
    }
    again()
  }
  const actions = html`
    <${Search} label="Search" placeholder="Topic, owner or id" value=${text} onInput=${value => set({text: value, offset: ""})} />
    <${Choice} label="Order" of=${ORDERS} value=${order} onChange=${value => set({order: value, offset: ""})} />`
  if (!answer) return html`<${Page} title=${title}>${error ? html`<${Notice} kind="bad">${error.message}<//>` : html`<${Loading} />`}<//>`
  const last = offset + answer.clients.length
  return html`
    <${Page} title=${title} actions=${actions}>
      <p class="note" role="status">${number(answer.connected)} connected${answer.found !== answer.connected && `, ${number(answer.found)} found`}</p>
      ${owner !== null && html`<p class="row">Owner <strong>${owner}</strong>
        <button type="button" class="quiet" onClick=${() => set({owner: null, offset: ""})}>Show all owners</button>
        <button type="button" class="danger" onClick=${() => ask(true)}>Disconnect all of this owner</button></p>`}
      ${said && html`<${Notice} kind=${said.kind} onClose=${() => say(null)}>${said.text}<//>`}
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
      <${Missing} silent=${answer.silent} />
      ${answer.clients.length === 0 ? html`
        <${Empty} title=${answer.connected ? "No client fits" : "No client is connected"}>
          ${answer.connected ? html`<p>Search for something else.</p>` : html`<p>Apps connect to <code>/socket</code>. The clients of this console are not listed.</p>`}<//>` : html`
        <div class="scroll panel flush" tabindex="0" role="region" aria-label="Clients">
          <table class="list">
            <thead><tr><th>Client</th><th>Owner</th><th>Transport</th><th>Topics</th><th class="figure">Unsent</th>
              <th class="figure">Age</th><th class="figure">Heartbeat</th><th><span class="visually-hidden">Actions</span></th></tr></thead>
            <tbody>${answer.clients.map(client => html`<${Row} key=${client.id} client=${client} onDisconnect=${disconnect} />`)}</tbody>
          </table>
        </div>
        ${(offset > 0 || answer.found > last) && html`<div class="row pages">
          <button type="button" class="secondary" disabled=${offset === 0} onClick=${() => set({offset: Math.max(offset - PAGE, 0) || ""})}>Back</button>
          <span class="muted">${number(offset + 1)} to ${number(last)} of ${number(answer.found)}</span>
          <button type="button" class="secondary" disabled=${answer.found <= last || last > 1000} onClick=${() => set({offset: last})}>Next</button></div>`}`}
      ${asking && html`<${Confirm} owner=${owner} push=${push} onClose=${() => ask(false)} onDone=${done => { ask(false); say(done); again() }} />`}
    <//>`
}
