// The state of the whole server: what needs attention, numbers, the last hour, the newest tasks.
import {html, useEffect, useRef} from "../vendor/htm-preact.js"
import {useApi, useChannel, useLive} from "../session.js"
import {href} from "../router.js"
import {Chart} from "../chart.js"
import {Bar, Loading, Page, Tile, Tiles, bytes, duration, number, usd} from "../ui.js"
import {Card} from "./tasks.js"

export const title = "Overview"
export const path = "overview"

function Attention({items}) {
  if (!items.length) return html`<div class="notice good" role="status"><div><strong>All is well.</strong> Nothing needs your attention.</div></div>`
  return html`<ul class="attention" aria-label="What needs attention">
    ${items.map(item => {
      const [place, query] = item.link.split("?")
      return html`<li class=${`notice ${item.level}`} key=${item.title}><div><strong>${item.title}</strong><br />${item.text}</div>
        ${item.link && html`<a href=${href(place, Object.fromEntries(new URLSearchParams(query)))}>Look</a>`}</li>`
    })}
  </ul>`
}

const HEALTH = [["Database", now => now.store === "available"], ["Provider", now => now.tasks?.circuit === "closed"],
  ["Processes", now => !now.missing_processes]]

function Numbers({now}) {
  const tasks = now.tasks
  const spent = tasks?.spend_today_usd
  const bad = HEALTH.filter(([, isGood]) => !isGood(now)).map(([name]) => name)
  return html`
    <${Tiles}>
      <${Tile} name="Health" value=${bad.length ? "Trouble" : "Good"} kind=${bad.length ? "bad" : "good"}
        note=${bad.length ? bad.join(", ") : now.processes > 1 ? `Database, provider, ${now.processes} processes` : "Database, provider"} />
      <${Tile} name="Waiting" href=${href("tasks", {status: "queued"})} value=${number(tasks?.queued)} note="in the queue" />
      <${Tile} name="Running" href=${href("tasks", {status: "processing"})} value=${number(tasks?.running)} note=${`of ${now.concurrency} at once`} />
      <${Tile} name="Done in a minute" value=${number(tasks?.ended_per_minute)} note=${tasks?.failed_per_minute ? `${tasks.failed_per_minute} of them failed` : "none failed"} />
      <${Tile} name="Time to picture" value=${duration(tasks?.p50_s)} note=${tasks?.p95_s != null ? `p95 ${duration(tasks.p95_s)}` : "nothing measured lately"} />
      <${Tile} name="Spent today" value=${usd(spent)} note=${now.cap_usd ? `of ${usd(now.cap_usd)} · ${number(tasks?.tasks_today)} tasks` : `${number(tasks?.tasks_today)} tasks, no cap`}>
        ${now.cap_usd && spent != null && html`<${Bar} value=${spent} of=${now.cap_usd} name="Share of the cap" />`}<//>
      <${Tile} name="Sockets" href=${href("sockets")} value=${number(now.sockets)} note=${`${number(now.channels)} channels`} />
      <${Tile} name="Memory" value=${bytes(now.memory_bytes)} note=${`up ${duration(now.up_s)} · ${bytes(tasks?.archive_bytes)} of files`} />
    <//>`
}

function Newest() {
  const {answer, again} = useApi("/api/console/tasks?limit=6")
  const timer = useRef(null)
  useEffect(() => () => clearTimeout(timer.current), [])
  // Read at most once a second, however many tasks change.
  const soon = () => { timer.current ??= setTimeout(() => { timer.current = null; again() }, 1000) }
  useChannel("admin:tasks", (event, payload) => {
    const isShown = event === "changed" && payload.tasks.some(task => answer?.tasks.some(each => each.task_id === task.task_id))
    if (isShown || event === "joined" || (event === "snapshot" && payload.newest > (answer?.newest || 0))) soon()
  })
  if (!answer?.tasks.length) return null
  return html`<section><h2 class="row">Newest tasks <a class="quiet" href=${href("tasks")}>all</a></h2>
    <ul class="cards six">${answer.tasks.map(task => html`<${Card} key=${task.task_id} task=${task} />`)}</ul></section>`
}

export function Screen() {
  const now = useLive("admin:overview")
  if (!now) return html`<${Loading} what="Reading the state of the server" />`
  const hour = now.hour
  return html`
    <${Page} title=${title}>
      <${Attention} items=${now.attention} />
      <section><${Numbers} now=${now} /></section>
      ${hour.completed && html`<section class="charts">
        <${Chart} title="Tasks a minute" bars series=${[
          {name: "completed", values: hour.completed.map((value, index) => value + hour.failed[index]), color: "--chart"},
          {name: "failed", values: hour.failed, color: "--bad"}]} />
        <${Chart} title="Time to picture, median" series=${[{name: "median", values: hour.median_s, color: "--chart"}]} format=${value => value ? duration(value) : "0"} />
        <${Chart} title="Sockets" series=${[{name: "sockets", values: hour.sockets, color: "--chart"}]} />
      </section>`}
      <${Newest} />
    <//>`
}
