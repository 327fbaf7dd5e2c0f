// One task: its picture, history, input, cost, and the code that would create it again.
import {html, useEffect, useRef, useState} from "../vendor/htm-preact.js"
import {api, useApi, useChannel} from "../session.js"
import {go, href} from "../router.js"
import {Age, Code, Empty, Loading, Media, Notice, Page, Ring, Status, Tabs, duration, usd} from "../ui.js"
import {snippets} from "../snippets.js"

const ENDED = new Set(["completed", "failed"])
const EVENTS = {
  queued: "Queued", submitting: "Sending to the provider", running: "Running at the provider",
  completed: "Completed", failed: "Failed", cancel_requested: "Cancel requested",
}

function Output({task}) {
  const result = task.result_data
  if (task.state === "failed") {
    const error = task.error_data || {}
    return html`<${Notice} kind="bad" title=${(error.code || "failed").replaceAll("_", " ")}>${error.error}<//>`
  }
  if (!result) {
    return html`<div class="panel waiting"><${Ring} progress=${task.progress} />
      <p class="note">${task.queue_position ? `Number ${task.queue_position} in the queue` : EVENTS[task.state]}</p></div>`
  }
  const urls = result.image_urls || (result.image_url ? [result.image_url] : result.output_urls) || []
  return html`
    ${urls.map(url => html`<${Media} url=${url} name=${task.input_data.prompt || "The output"} />`)}
    ${result.text && html`<div class="panel output-text">${result.text}</div>`}
    ${result.output !== undefined && !urls.length && !result.text && html`<${Code} text=${JSON.stringify(result.output, null, 2)} label="Output" />`}`
}

function Timeline({events}) {
  return html`<ol class="timeline">
    ${events.map((event, index) => {
      const before = events[index - 1]
      const took = before && (Date.parse(event.at) - Date.parse(before.at)) / 1000
      return html`<li class=${event.event}>
        <strong>${EVENTS[event.event] || event.event}</strong>
        <span class="note"><time datetime=${event.at}>${new Date(event.at).toLocaleTimeString()}</time>${took >= 1 && ` · ${duration(took)} later`}</span>
        ${event.event === "failed" && event.data?.error && html`<span class="note">${event.data.error}</span>`}
      </li>`
    })}
  </ol>`
}

function Facts({task, real}) {
  const ran = task.completed_at && (Date.parse(task.completed_at) - Date.parse(task.created_at)) / 1000
  const link = real && task.prediction_id && `https://replicate.com/p/${task.prediction_id}`
  return html`<dl class="facts">
    <dt>Model</dt><dd>${task.model}</dd>
    <dt>Type</dt><dd>${task.task_type}</dd>
    ${task.owner && html`<dt>Owner</dt><dd><a href=${href("tasks", {owner: task.owner})}>${task.owner}</a></dd>`}
    <dt>Created</dt><dd>${new Date(task.created_at).toLocaleString()} (<${Age} of=${task.created_at} />)</dd>
    ${ran != null && ran !== "" && task.completed_at && html`<dt>Took</dt><dd>${duration(ran)}</dd>`}
    <dt>Estimated cost</dt><dd>${usd(task.estimated_cost_usd)}</dd>
    <dt>Prediction</dt><dd>${task.prediction_id ? link
      ? html`<a href=${link} rel="noreferrer noopener" target="_blank">${task.prediction_id}</a>` : html`<code>${task.prediction_id}</code>` : "–"}</dd>
    <dt>Task id</dt><dd><code>${task.task_id}</code></dd>
  </dl>`
}

export function Detail({id}) {
  const base = `/api/tasks/${encodeURIComponent(id)}`
  const {answer: read, error, again} = useApi(base)
  const {answer: events, again: readEvents} = useApi(`${base}/events?limit=200`)
  const {answer: session} = useApi("/api/console/session")
  const [moved, setMoved] = useState(null)
  const [failed, setFailed] = useState(null)
  const [busy, setBusy] = useState(false)
  const reread = () => { again(); readEvents() }
  useChannel("admin:tasks", (event, payload) => {
    if (event === "joined") { reread(); return }
    const change = event === "changed" && payload.tasks.find(task => task.task_id === read?.task_id)
    if (!change) return
    setMoved(change)
    if (change.state !== (moved?.state || read.state)) reread()
  })
  useEffect(() => {
    const back = event => { if (event.key === "Escape" && !event.target.closest("dialog, input, textarea")) go("tasks") }
    addEventListener("keydown", back)
    return () => removeEventListener("keydown", back)
  }, [])
  const crumb = html`<a class="crumb" href=${href("tasks")}>Tasks</a>`
  if (error && !read) {
    return html`<${Page} title="Task">${crumb}<${Empty} title=${error.status === 404 ? "This task does not exist" : "The task cannot be read"}><p>${error.message}</p><//><//>`
  }
  if (!read) return html`<${Loading} what="Reading the task" />`
  const isNewer = moved && moved.updated_at >= read.updated_at && !ENDED.has(read.state)
  const task = isNewer ? {...read, state: moved.state, progress: moved.progress} : read
  const act = async action => {
    setBusy(true)
    setFailed(null)
    try { await api(`${base}/${action}`, {method: "POST"}) } catch (problem) { setFailed(problem) }
    setBusy(false)
    setMoved(null)
    reread()
  }
  const actions = html`
    <${Status} of=${task.state} />
    ${!ENDED.has(task.state) && html`<button type="button" class="danger" disabled=${busy} onClick=${() => act("cancel")}>Cancel</button>`}
    ${task.state === "failed" && html`<button type="button" disabled=${busy} onClick=${() => act("retry")}>Retry</button>`}
    <a class="button secondary" href=${href("playground", {from: task.task_id})}>Use again</a>`
  const history = html`<section class="panel"><h2>History</h2>${events ? html`<${Timeline} events=${events.events} />` : html`<${Loading} />`}</section>`
  const code = snippets(task.input_data, location.origin)
  return html`
    <div class="page">
      ${crumb}
      <header><h1 class="prompt-title">${task.input_data.prompt || task.task_type}</h1><div class="row">${actions}</div></header>
      ${failed && html`<${Notice} kind="bad" onClose=${() => setFailed(null)}>${failed.message}<//>`}
      <div class="halves">
        <div><${Output} task=${task} />${task.state === "failed" && history}</div>
        <div>
          <section class="panel"><h2>Facts</h2><${Facts} task=${task} real=${session?.provider === "replicate"} /></section>
          ${task.state !== "failed" && history}
        </div>
      </div>
      <section class="panel"><h2>Input</h2><${Code} text=${JSON.stringify(task.input_data, null, 2)} label="Input" /></section>
      <section class="panel"><h2>Create it again</h2>
        <${Tabs} label="Language" tabs=${code.map(([name, text]) => [name, html`<${Code} text=${text} label=${name} />`])} /></section>
    </div>`
}
