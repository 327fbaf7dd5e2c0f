import {html, useEffect, useState} from "../vendor/htm-preact.js"
import {api, useApi} from "../session.js"
import {Age, bytes, Empty, Loading, Notice, number, Page} from "../ui.js"
import {Choice, Search, useFilter} from "../lists.js"

export const title = "Settings"
export const path = "settings"

const SHOWN = {all: "All settings", set: "Not the default", pending: "Changed since the start", reload: "Apply on reload"}
const GROUPS = {Auth: "Authentication", Budget: "Costs and models", Rate: "Rates", Connection: "Connections", Upload: "Files of clients"}
const STEPS = {copy: "Copying the database", files: "Adding files", verify: "Reading it back"}
const MARKS = {ok: ["✓", "good"], warn: ["!", "warning"], fail: ["✗", "bad"]}

function Backup() {
  const {answer, error, again} = useApi("/api/console/backup")
  const [refused, refuse] = useState("")
  const [last, keep] = useState(null)
  if (answer && answer !== last) keep(answer)
  const now = answer || last
  const isRunning = now?.state === "running"
  const isMissing = now?.state === "unavailable"
  useEffect(() => {
    if (!isRunning) return undefined
    const timer = setTimeout(again, 500)
    return () => clearTimeout(timer)
  }, [now])
  const start = async () => {
    refuse("")
    try { await api("/api/console/backup", {method: "POST", body: {}}) } catch (problem) { refuse(problem.message) }
    again()
  }
  return html`
    <section class="panel"><h2>Backup</h2>
      ${isMissing && html`<${Notice} kind="warning">This server was not started by the command <code>phoenix-compat serve</code>, so it cannot do this.<//>`}
      ${(error || refused) && html`<${Notice} kind="bad">${refused || error.message}<//>`}
      ${isRunning && html`<p role="status">${STEPS[now.step] || now.step}${now.total_bytes > 0 && `: ${bytes(now.done_bytes)} of ${bytes(now.total_bytes)}`}</p>
        <progress value=${now.total_bytes && now.step === "files" ? now.done_bytes : null} max=${now.total_bytes || 1} aria-label="Progress of the backup"></progress>`}
      ${now?.state === "done" && html`<${Notice} kind="good" title="Done.">${now.summary}<br /><code>${now.file}</code><//>`}
      ${now?.state === "failed" && html`<${Notice} kind="bad" title="The backup failed.">${now.error}<//>`}
      ${!isRunning && !isMissing && html`<p><button type="button" class="secondary" onClick=${start} disabled=${!now}>Back up now</button></p>`}
      <p class="note">Tasks and pictures, in one file beside the data; copy it elsewhere. <code>phoenix-compat restore</code> restores it.
        ${now?.ended_at && html` Last one <${Age} of=${now.ended_at} />.`}</p>
    </section>`
}

function Doctor() {
  const [findings, show] = useState(null)
  const [busy, setBusy] = useState(false)
  const [error, fail] = useState("")
  const examine = async () => {
    setBusy(true)
    fail("")
    try { show((await api("/api/console/doctor", {method: "POST", body: {}})).findings) } catch (problem) { fail(problem.message) }
    setBusy(false)
  }
  const bad = findings?.filter(each => each.status !== "ok") || []
  return html`
    <section class="panel"><h2>Doctor</h2>
      ${error && html`<${Notice} kind="bad">${error}<//>`}
      ${findings && html`<p role="status">${number(findings.length)} checks, ${bad.length === 0 ? "all passed" : `${bad.length} to look at`}</p>
        <ul class="findings">${[...bad, ...findings.filter(each => each.status === "ok")].map(each => html`
          <li class=${MARKS[each.status][1]}><span class="mark" aria-label=${each.status}>${MARKS[each.status][0]}</span>
            <div><strong>${each.name}</strong> ${each.detail}${each.remedy && html`<br /><span class="muted">→ ${each.remedy}</span>`}</div></li>`)}</ul>`}
      <p><button type="button" class="secondary" onClick=${examine} disabled=${busy} aria-busy=${busy ? "true" : null}>${busy ? "Checking…" : findings ? "Check again" : "Check everything"}</button></p>
      <p class="note">What <code>phoenix-compat doctor</code> checks: configuration, keys, disk, database, provider, public address.</p>
    </section>`
}

function Webhooks() {
  const {answer, again} = useApi("/api/console/webhooks")
  const [said, say] = useState(null)
  if (!answer || answer.webhooks.length === 0) return null
  const replay = async name => {
    try {
      const {events} = await api("/api/console/webhooks/replay", {method: "POST", body: {name}})
      say({kind: "good", text: `${number(events)} events are sent again.`})
    } catch (problem) { say({kind: "bad", text: problem.message}) }
    again()
  }
  return html`
    <section class="panel wide"><h2>Webhooks</h2>
      ${said && html`<${Notice} kind=${said.kind} onClose=${() => say(null)}>${said.text}<//>`}
      ${answer.webhooks.map(each => each.disabled_at && html`<${Notice} kind="bad" title=${`${each.name} is disabled.`}>${each.reason} Since <${Age} of=${each.disabled_at} />.<//>`)}
      <div class="scroll" tabindex="0" role="region" aria-label="Webhooks"><table class="list">
        <thead><tr><th>Webhook</th><th class="figure">Delivered</th><th class="figure">Waiting</th><th class="figure">Given up</th><th>Last success</th><th><span class="visually-hidden">Actions</span></th></tr></thead>
        <tbody>${answer.webhooks.map(each => html`<tr key=${each.name}>
          <td class="wrap"><strong>${each.name}</strong><br /><small>${each.url || "not in the settings any more"}</small></td>
          <td class="figure">${number(each.delivered)}</td><td class="figure">${number(each.pending)}</td><td class="figure">${number(each.failed)}</td>
          <td>${each.last_success_at ? html`<${Age} of=${each.last_success_at} />` : "never"}</td>
          <td>${each.url && (each.failed > 0 || each.disabled_at) && html`<button type="button" class="quiet" onClick=${() => replay(each.name)} aria-label=${`Send again to ${each.name}`}>Send again</button>`}</td></tr>`)}</tbody></table></div>
    </section>`
}

const Origin = ({of}) => of === null ? "unknown" : of === "default" ? html`<span class="muted">default</span>` : of

const Row = ({setting}) => html`
  <tr>
    <td class="wrap"><strong>${setting.name}</strong><br /><small>${setting.description}</small></td>
    <td class="wrap"><code>${setting.value}</code>
      ${setting.pending !== null && html`<br /><span class="pending">→ <code>${setting.pending}</code> ${setting.reloads ? "on reload" : "after a restart"}</span>`}</td>
    <td title=${setting.variable}><${Origin} of=${setting.origin} /></td>
    <td>${setting.reloads ? "reload" : "restart"}</td>
  </tr>`

export function Screen({query}) {
  const text = (query.get("text") || "").toLowerCase()
  const which = query.get("show") || "all"
  const set = useFilter(path, query)
  const {answer, error, again} = useApi("/api/console/settings")
  const actions = html`
    <${Search} label="Search" placeholder="Name or meaning" value=${query.get("text") || ""} onInput=${value => set({text: value})} />
    <${Choice} label="Which settings" of=${SHOWN} value=${which} onChange=${value => set({show: value})} />
    <button type="button" class="secondary" onClick=${again}>Read again</button>`
  const fits = {all: () => true, set: each => each.origin !== "default", pending: each => each.pending !== null, reload: each => each.reloads}
  const settings = answer?.settings.filter(each => fits[which](each) && (each.name + each.description).toLowerCase().includes(text)) || []
  const pending = answer?.settings.filter(each => each.pending !== null) || []
  const groups = [...new Set(settings.map(each => each.group))].sort((one, other) => (other === "General") - (one === "General") || one.localeCompare(other))
  return html`
    <${Page} title=${title} actions=${actions}>
      <div class="columns"><${Backup} /><${Doctor} /><${Webhooks} /></div>
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
      ${!answer && !error && html`<${Loading} />`}
      ${answer?.error && html`<${Notice} kind="bad" title="The configuration has a mistake; a reload would be refused.">
        <pre>${answer.error}</pre><//>`}
      ${pending.length > 0 && html`<${Notice} kind="warning" title="The configuration has changed since the start.">
        ${number(pending.filter(each => each.reloads).length)} settings apply with <code>systemctl reload phoenix-compat</code> (SIGHUP),
        ${" "}${number(pending.filter(each => !each.reloads).length)} need a restart.<//>`}
      ${answer && html`<p class="note">${answer.file ? html`Configuration file: <code>${answer.file}</code>` : "No configuration file."} Secrets are not shown.</p>`}
      ${answer && settings.length === 0 && html`<${Empty} title="No setting fits"><p>Search for something else.</p><//>`}
      ${groups.map(group => html`<section key=${group}><h2>${GROUPS[group] || group}</h2>
        <div class="scroll panel flush" tabindex="0" role="region" aria-label=${GROUPS[group] || group}><table class="list settings">
          <thead><tr><th>Setting</th><th>Value</th><th>Origin</th><th>Changes with</th></tr></thead>
          <tbody>${settings.filter(each => each.group === group).map(each => html`<${Row} key=${each.name} setting=${each} />`)}</tbody></table></div></section>`)}
    <//>`
}
