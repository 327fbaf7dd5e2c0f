import {html, useState} from "../vendor/htm-preact.js"
import {api, useApi} from "../session.js"
import {href} from "../router.js"
import {Age, Bar, Code, Dialog, Empty, Loading, Notice, number, Page, usd} from "../ui.js"
import {Search, useFilter} from "../lists.js"

export const title = "Keys and limits"
export const path = "keys"

const SCOPES = {
  create: "create tasks", read: "see the owner’s tasks", cancel: "cancel the owner’s tasks",
  operate: "this console, and the tasks of all", read_metrics: "read /metrics",
  publish: "publish events to channels", impersonate: "act for other owners (X-Owner)",
}

function Create({scopes, onClose, onDone}) {
  const [name, setName] = useState("")
  const [chosen, choose] = useState(["create", "read", "cancel"])
  const [error, setError] = useState("")
  const [key, setKey] = useState("")
  const create = async event => {
    event.preventDefault()
    try {
      const made = await api("/api/console/keys", {method: "POST", body: {name, scopes: chosen}})
      setError("")
      setKey(made.key)
      onDone()
    } catch (refused) {
      setError(refused.message)
    }
  }
  const flip = scope => choose(chosen.includes(scope) ? chosen.filter(each => each !== scope) : [...chosen, scope])
  if (key) return html`
    <${Dialog} title=${`The key ${name}`} onClose=${onClose}>
      <${Notice} kind="good" title="Copy it now.">Only its hash is stored; it cannot be shown again.<//>
      <${Code} text=${key} label="The new key" />
      <p class="note">Apps send it as <code>Authorization: Bearer …</code>, or as the socket’s <code>token</code>.</p>
      <button type="button" onClick=${onClose}>Done</button>
    <//>`
  return html`
    <${Dialog} title="Create a key" onClose=${onClose}>
      <form onSubmit=${create}>
        <label>Name <input required maxlength="64" pattern="[A-Za-z0-9._\\-]+" autocomplete="off" value=${name} autofocus
          placeholder="ios-app" onInput=${event => setName(event.target.value)} /></label>
        <fieldset><legend>Scopes</legend>${scopes.map(scope => html`
          <label class="scope"><input type="checkbox" checked=${chosen.includes(scope)} onChange=${() => flip(scope)} />
            <span><strong>${scope}</strong> <small>${SCOPES[scope] || ""}</small></span></label>`)}</fieldset>
        ${error && html`<${Notice} kind="bad">${error}<//>`}
        <div class="row"><button type="submit" disabled=${chosen.length === 0}>Create</button>
          <button type="button" class="secondary" onClick=${onClose}>Cancel</button></div>
      </form>
    <//>`
}

function Revoke({name, isOwn, onClose, onDone}) {
  const [error, setError] = useState("")
  const revoke = async () => {
    try {
      await api("/api/console/keys/revoke", {method: "POST", body: {name}})
      onDone()
    } catch (refused) {
      setError(refused.message)
    }
  }
  return html`
    <${Dialog} title=${`Revoke ${name}`} onClose=${onClose}>
      <p>Requests with this key are refused from now on, and its sockets are closed. Its tasks stay. This cannot be undone.</p>
      ${isOwn && html`<${Notice} kind="warning">This is the key with which you are signed in.<//>`}
      ${error && html`<${Notice} kind="bad">${error}<//>`}
      <div class="row"><button type="button" class="danger" onClick=${revoke}>Revoke</button>
        <button type="button" class="secondary" onClick=${onClose}>Cancel</button></div>
    <//>`
}

const Key = ({record, onRevoke}) => html`
  <tr class=${record.revoked_at ? "muted" : null}>
    <td><strong>${record.name}</strong></td>
    <td class="wrap">${record.scopes.map(scope => html`<code>${scope}</code> `)}</td>
    <td><${Age} of=${record.created_at} /></td>
    <td>${record.last_used_at ? html`<${Age} of=${record.last_used_at} />` : "never"}</td>
    <td>${record.revoked_at ? html`revoked <${Age} of=${record.revoked_at} />` : html`
      <button type="button" class="quiet" onClick=${() => onRevoke(record.name)} aria-label=${`Revoke ${record.name}`}>Revoke</button>`}</td>
  </tr>`

// A sum beside its limit: a bar if there is one.
const Used = ({used, of, show, name}) => html`
  <span>${used === null ? "unreadable" : show(used)}${of !== null && html` <span class="muted">of ${show(of)}</span>`}</span>
  ${of !== null && used !== null && html`<${Bar} value=${of === 0 ? 1 : used} of=${of || 1} name=${`${name}: ${show(used)} of ${show(of)}`} />`}`

const Uses = ({used, name}) => html`
  <td><${Used} used=${used.usd} of=${used.max_usd} show=${usd} name=${`${name}, US dollars`} /></td>
  <td><${Used} used=${used.tasks} of=${used.max_tasks} show=${number} name=${`${name}, tasks`} /></td>`

function Limits({query}) {
  const text = query.get("owner") || ""
  const set = useFilter(path, query)
  const {answer, error} = useApi(`/api/console/limits?text=${encodeURIComponent(text)}`)
  const [shown, show] = useState(null)
  if (answer && answer !== shown) show(answer)
  const limits = answer || shown
  if (error) return html`<${Notice} kind="bad">${error.message}<//>`
  if (!limits) return html`<${Loading} />`
  const hasNone = [limits.total_day, limits.total_month].every(each => each.max_usd === null && each.max_tasks === null)
  return html`
    ${hasNone && html`<${Notice}>No limit for all owners together is set. <code>total_usd_per_day</code> in the settings is one.<//>`}
    <div class="scroll panel flush" tabindex="0" role="region" aria-label="Limits">
      <table class="list limits">
        <thead><tr><th>Owner</th><th>Cost today</th><th>Tasks today</th><th>Cost this month</th><th>Tasks this month</th></tr></thead>
        <tbody>
          <tr><th scope="row">All together</th><${Uses} used=${limits.total_day} name="All, today" /><${Uses} used=${limits.total_month} name="All, this month" /></tr>
          ${limits.owners.map(each => html`<tr key=${each.owner}>
            <th scope="row">${each.owner ? html`<a href=${href("tasks", {owner: each.owner})}>${each.owner}</a>` : html`<span class="muted">anybody</span>`}</th>
            <${Uses} used=${each.day} name=${`${each.owner || "Anybody"}, today`} /><${Uses} used=${each.month} name=${`${each.owner || "Anybody"}, this month`} /></tr>`)}
        </tbody>
      </table>
    </div>
    <p class="row filters"><${Search} label="Owner" placeholder="Find an owner" value=${text} onInput=${owner => set({owner})} />
      <span class="note">The 100 owners with the largest cost this month. Costs are estimates. Days and months are those of UTC: ${limits.day}.
        ${limits.refused > 0 && ` ${number(limits.refused)} orders were refused since the server was started.`}</span></p>`
}

export function Screen({query, info}) {
  const {answer, error, again} = useApi("/api/console/keys")
  const [creating, create] = useState(false)
  const [revoking, revoke] = useState(null)
  const [isAll, showAll] = useState(false)
  const keys = answer?.keys.filter(record => isAll || !record.revoked_at) || []
  const revoked = answer?.keys.filter(record => record.revoked_at).length || 0
  return html`
    <${Page} title=${title} actions=${html`<button type="button" onClick=${() => create(true)} disabled=${!answer}>Create a key</button>`}>
      <section>
        ${error && html`<${Notice} kind="bad">${error.message}<//>`}
        ${!answer && !error && html`<${Loading} />`}
        ${answer && !answer.auth.includes("keys") && html`<${Notice} kind="warning">This server does not ask for keys: <code>auth</code> is ${answer.auth.join(", ")}.
          Keys that you create count once it is <code>["keys"]</code>.<//>`}
        ${answer && keys.length === 0 && html`<${Empty} title="No key yet"><p>An app needs one as soon as authentication is on.</p><//>`}
        ${keys.length > 0 && html`<div class="scroll panel flush" tabindex="0" role="region" aria-label="Keys"><table class="list">
          <thead><tr><th>Key</th><th>Scopes</th><th>Created</th><th>Last used</th><th><span class="visually-hidden">Actions</span></th></tr></thead>
          <tbody>${keys.map(record => html`<${Key} key=${record.name} record=${record} onRevoke=${revoke} />`)}</tbody></table></div>`}
        ${revoked > 0 && html`<p><label><input type="checkbox" checked=${isAll} onChange=${() => showAll(!isAll)} /> Show revoked keys (${number(revoked)})</label></p>`}
      </section>
      <section><h2>Limits</h2><${Limits} query=${query} /></section>
      ${creating && html`<${Create} scopes=${answer.scopes} onClose=${() => create(false)} onDone=${again} />`}
      ${revoking && html`<${Revoke} name=${revoking} isOwn=${info.owner === `key:${revoking}`} onClose=${() => revoke(null)} onDone=${() => { revoke(null); again() }} />`}
    <//>`
}
