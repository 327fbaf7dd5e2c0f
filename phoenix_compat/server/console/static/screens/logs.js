import {Component, html, useEffect, useRef, useState} from "../vendor/htm-preact.js"
import {href} from "../router.js"
import {Empty, Loading, Notice, number, Page} from "../ui.js"
import {Choice, Missing, Search, useFilter, useList} from "../lists.js"

export const title = "Logs"
export const path = "logs"

const LEVELS = {debug: "All levels", info: "Info and above", warning: "Warnings and errors", error: "Errors"}
const KEPT = 1000
const DRAWN = 100
const EVENT = /^[a-z0-9_]+(\.[a-z0-9_]+)+$/

const text = value => typeof value === "string" ? value : JSON.stringify(value)
const TIME = new Intl.DateTimeFormat("en-GB", {timeStyle: "medium"})
const clock = at => at ? TIME.format(new Date(at)) : ""

const idOf = line => `${line.node}-${line.number}-${line.at}`

const Field = ({name, value}) => html`<span class="field"><span class="muted">${name}=</span>${
  name === "task_id" ? html`<a href=${href(["tasks", value])}>${value}</a>` : text(value)}</span> `

// A line never changes: it is drawn once.
class Line extends Component {
  shouldComponentUpdate({line}) {
    return line !== this.props.line
  }

  render({line, processes}) {
    const {exception, ...fields} = line.fields
    return html`
    <li class=${line.level}>
      <time datetime=${line.at} title=${line.at}>${clock(line.at)}</time>
      <span class="level">${line.level}</span>
      <div>${EVENT.test(line.event) ? html`<strong>${line.event}</strong>` : html`<span class="text">${line.event}</span>`} ${Object.entries(fields).map(([name, value]) => html`<${Field} name=${name} value=${value} />`)}
        ${processes > 1 && html`<${Field} name="process" value=${line.node} />`}
        ${exception && html`<pre tabindex="0">${exception}</pre>`}</div>
    </li>`
  }
}

// Draws the newest lines, and more of them as one scrolls down: a thousand at once would stop the page.
function Lines({lines, processes}) {
  const [drawn, draw] = useState(DRAWN)
  const end = useRef(null)
  const isAll = drawn >= lines.length
  useEffect(() => {
    if (isAll) return undefined
    const seen = new IntersectionObserver(([entry]) => {
      if (entry.isIntersecting) draw(count => count + DRAWN)
    }, {rootMargin: "600px"})
    seen.observe(end.current)
    return () => seen.disconnect()
  }, [isAll, drawn])
  return html`
    <ol class="log panel" reversed>${lines.slice(0, drawn).map(line => html`<${Line} key=${idOf(line)} line=${line} processes=${processes} />`)}</ol>
    ${!isAll && html`<p class="more" ref=${end}><button type="button" class="secondary" onClick=${() => draw(count => count + DRAWN)}>Show older lines</button></p>`}`
}

export function Screen({query, info}) {
  const level = query.get("level") || "debug"
  const filter = {level, text: query.get("text") || "", task: query.get("task") || "", owner: query.get("owner") || ""}
  const key = JSON.stringify(filter)
  const set = useFilter(path, query)
  const [paused, pause] = useState(false)
  // The lines that are shown, and what to ask for next; a new filter begins anew. After a reconnect all lines
  // are asked for: the server may have been restarted, and counts from 1 again. Those before are still shown.
  const seen = useRef({key: "", lines: [], after: {}})
  const asked = () => {
    if (seen.current.key !== key) seen.current = {key, lines: [], after: {}}
    return {...filter, after: seen.current.after, limit: KEPT}
  }
  const onJoined = () => { seen.current = {...seen.current, after: {}} }
  const onAnswer = answer => {
    const given = new Set(answer.lines.map(idOf))
    const lines = [...seen.current.lines.filter(line => !given.has(idOf(line))), ...answer.lines].slice(-KEPT)
    seen.current = {...seen.current, lines, after: answer.after}
    return {...answer, lines}
  }
  const {answer, error} = useList("admin:logs", "list", paused ? null : asked, {pause: paused ? 0 : 1500, onAnswer, onJoined, key: paused ? "paused" : key})
  const actions = html`
    <${Search} label="Search" placeholder="Text" value=${filter.text} onInput=${value => set({text: value})} />
    <${Choice} label="Level" of=${LEVELS} value=${level} onChange=${value => set({level: value})} />
    <button type="button" class="secondary" aria-pressed=${paused ? "true" : "false"} onClick=${() => pause(!paused)}>${paused ? "Continue" : "Pause"}</button>`
  if (!answer) return html`<${Page} title=${title}>${error ? html`<${Notice} kind="bad">${error.message}<//>` : html`<${Loading} />`}<//>`
  const newest = [...answer.lines].reverse()
  return html`
    <${Page} title=${title} actions=${actions}>
      <div class="row filters">
        <label>Task <input value=${filter.task} placeholder="id" onInput=${event => set({task: event.target.value.trim()})} /></label>
        <label>Owner <input value=${filter.owner} placeholder="any" onInput=${event => set({owner: event.target.value.trim()})} /></label>
        <p class="note" role="status">${number(newest.length)} ${newest.length === 1 ? "line" : "lines"}, newest first; the last ${number(answer.max_kept)} are kept${info.processes > 1 && " of each process"}</p>
      </div>
      ${error && html`<${Notice} kind="bad">${error.message}<//>`}
      <${Missing} silent=${answer.silent} />
      ${newest.length === 0 ? html`<${Empty} title="No line fits"><p>New lines appear here by themselves.</p><//>` : html`
        <${Lines} key=${key} lines=${newest} processes=${info.processes} />`}
    <//>`
}
