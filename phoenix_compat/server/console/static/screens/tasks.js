// The grid of tasks. A task itself is in task_detail.js.
import {Component, html, useCallback, useEffect, useMemo, useRef, useState} from "../vendor/htm-preact.js"
import {api, useApi, useChannel} from "../session.js"
import {go, href} from "../router.js"
import {Age, Empty, Loading, Notice, Page, Ring, Status} from "../ui.js"
import {Detail} from "./task_detail.js"

export const title = "Tasks"
export const path = "tasks"

const PAGE = 60
const FILTERS = ["status", "type", "owner", "text"]
const STATUSES = [["", "All"], ["processing", "In progress"], ["completed", "Completed"], ["failed", "Failed"]]
const ENDED = new Set(["completed", "failed"])

const matches = (task, status) => !status || status === task.state || (status === "processing" && !ENDED.has(task.state))

// Whether a row that was read again shows the same: then its card is not drawn again.
const isSame = (old, task) => old && ["updated_at", "state", "progress"].every(name => old[name] === task[name]) && !old.picture === !task.picture

// The list for the filters, moved by the events of the channel. New tasks are read at most once a second.
function useTasks(filters) {
  const [{tasks, more}, setShown] = useState({tasks: null, more: null})
  const shown = useRef({tasks: null, more: null})
  const room = useRef(PAGE)
  const [error, setError] = useState(null)
  const newest = useRef(null) // none was read yet
  const timer = useRef(null)
  const asked = useRef(0)
  const show = (list, next) => {
    shown.current = {tasks: list, more: next}
    setShown(shown.current)
  }
  const query = useMemo(() => {
    const given = FILTERS.filter(name => filters[name]).map(name => [name, filters[name]])
    return new URLSearchParams([...given, ["limit", PAGE]]).toString()
  }, FILTERS.map(name => filters[name]))

  const read = useCallback(async (cursor, keep) => {
    const number = cursor ? asked.current : ++asked.current
    try {
      const page = await api(`/api/console/tasks?${query}${cursor ? `&cursor=${cursor}` : ""}`)
      if (number !== asked.current) return
      newest.current = Math.max(newest.current ?? 0, page.newest)
      setError(null)
      const old = shown.current
      let list = page.tasks
      let next = page.next_cursor || null
      if (cursor) {
        list = [...old.tasks, ...page.tasks]
        room.current = list.length
      } else if (keep && old.tasks) {
        const known = new Map(old.tasks.map(task => [task.task_id, task]))
        const overlaps = list.some(task => known.has(task.task_id))
        list = list.map(task => isSame(known.get(task.task_id), task) ? known.get(task.task_id) : task)
        const read = new Set(list.map(task => task.task_id))
        const last = list.length ? list.at(-1).number : 0
        const older = overlaps ? old.tasks.filter(task => !read.has(task.task_id) && task.number < last) : []
        if (older.length) {
          list = [...list, ...older]
          next = old.more
        }
      }
      // New tasks push the oldest out, so that an open page stays as quick as it was.
      if (list.length > room.current) {
        list = list.slice(0, room.current)
        next = String(list.at(-1).number)
      }
      show(list, next)
    } catch (failure) {
      if (number === asked.current) setError(failure)
    }
  }, [query])

  useEffect(() => {
    room.current = PAGE
    show(null, null)
    read()
    return () => { clearTimeout(timer.current); timer.current = null }
  }, [read])

  const soon = () => {
    if (timer.current) return
    timer.current = setTimeout(() => { timer.current = null; read(null, true) }, 1000)
  }
  useChannel("admin:tasks", (event, payload) => {
    const isRead = newest.current !== null
    if (isRead && event === "joined") soon()
    if (isRead && event === "snapshot" && payload.newest > newest.current) soon()
    if (event !== "changed") return
    const changes = new Map(payload.tasks.map(task => [task.task_id, task]))
    if (payload.left_out) soon()
    if (shown.current.tasks) {
      const list = shown.current.tasks.map(task => {
        const change = changes.get(task.task_id)
        if (!change) return task
        const {error: _error, picture: _picture, completed_at: _end, ...kept} = task
        return {...(ENDED.has(change.state) ? task : kept), ...change}
      }).filter(task => !changes.has(task.task_id) || matches(task, filters.status))
      show(list, shown.current.more)
    }
    // A task that was not in the list may belong there now.
    if (filters.status && payload.tasks.some(task => matches(task, filters.status))) soon()
  })
  return {tasks, more, error, readMore: () => read(more), again: () => read(null, true)}
}

const short = model => model.split("/").at(-1)

export function Picture({task}) {
  if (task.picture) return html`<img src=${task.picture.thumbnail} alt="" loading="lazy" decoding="async" />`
  if (!ENDED.has(task.state)) return html`<${Ring} progress=${task.progress} label=${`${Math.round(task.progress * 100)}% done`} />`
  if (task.state === "failed") return html`<span class="picture-word bad">${(task.error?.code || "failed").replaceAll("_", " ")}</span>`
  return task.text ? html`<span class="picture-text">${task.text}</span>` : html`<span class="picture-word">${task.type}</span>`
}

// It is drawn again only when its task or its selection changes: others may change many times a second.
export class Card extends Component {
  shouldComponentUpdate({task, chosen}) {
    return task !== this.props.task || chosen !== this.props.chosen
  }

  render({task, chosen, onChoose}) {
    const name = task.prompt || `${task.type} without a prompt`
    return html`
    <li class=${`card ${task.state} ${chosen ? "chosen" : ""}`}>
      <a href=${href(["tasks", task.task_id])} data-card>
        <span class="picture"><${Picture} task=${task} /></span>
        <span class="prompt" title=${name}>${name}</span>
        <span class="meta"><${Status} of=${task.state} /><${Age} of=${task.created_at} /></span>
        <span class="meta quiet-line"><span>${short(task.model)}</span>${task.owner && html`<span>${task.owner}</span>`}</span>
      </a>
      ${onChoose && html`<input type="checkbox" checked=${chosen} onChange=${onChoose} aria-label=${`Select: ${name}`} />`}
    </li>`
  }
}

// Arrow keys move between the cards, in rows and columns as they are shown.
function move(event) {
  const here = event.target.closest("[data-card]")
  if (!here) return
  const cards = [...event.currentTarget.querySelectorAll("[data-card]")]
  const top = cards[0].offsetParent ? cards.map(card => card.getBoundingClientRect().top) : []
  const columns = Math.max(1, top.filter(each => each === top[0]).length)
  const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns}[event.key]
  const next = step && cards[cards.indexOf(here) + step]
  if (next) { event.preventDefault(); next.focus() }
}

// Runs an action on several tasks, four at a time; returns what failed.
async function each(ids, action) {
  const waiting = [...ids]
  const failed = []
  const run = async () => {
    for (let id = waiting.shift(); id; id = waiting.shift()) {
      await api(`/api/tasks/${id}/${action}`, {method: "POST"}).catch(error => failed.push([id, error.message]))
    }
  }
  await Promise.all([run(), run(), run(), run()])
  return failed
}

function Filters({filters}) {
  const types = useApi("/api/task_types").answer?.task_types || []
  const set = (name, value) => go("tasks", {...filters, [name]: value}, {replace: true})
  const [text, setText] = useState(filters.text)
  const [owner, setOwner] = useState(filters.owner)
  useEffect(() => { setText(filters.text); setOwner(filters.owner) }, [filters.text, filters.owner])
  useEffect(() => {
    if (text === filters.text && owner === filters.owner) return undefined
    const timer = setTimeout(() => go("tasks", {...filters, text: text.trim(), owner: owner.trim()}, {replace: true}), 350)
    return () => clearTimeout(timer)
  }, [text, owner])
  return html`
    <form class="task-filters" aria-label="Filters" onSubmit=${event => event.preventDefault()}>
      <div class="segments" role="group" aria-label="Status">
        ${STATUSES.map(([value, name]) => html`<button type="button" aria-pressed=${filters.status === value ? "true" : "false"}
          onClick=${() => set("status", value)}>${name}</button>`)}
      </div>
      <input type="search" placeholder="Search prompts" aria-label="Search prompts" value=${text} maxlength="200"
        onInput=${event => setText(event.target.value)} />
      <select aria-label="Type" value=${filters.type} onChange=${event => set("type", event.target.value)}>
        <option value="" selected=${!filters.type}>All types</option>
        ${types.map(({type}) => html`<option value=${type} selected=${type === filters.type}>${type}</option>`)}
      </select>
      <input class="owner" placeholder="Owner" aria-label="Owner" value=${owner} maxlength="200" onInput=${event => setOwner(event.target.value)} />
    </form>`
}

function List({filters}) {
  const {tasks, more, error, readMore, again} = useTasks(filters)
  const [chosen, setChosen] = useState(new Set())
  const [busy, setBusy] = useState(false)
  const [said, setSaid] = useState(null)
  const choose = id => setChosen(old => {
    const next = new Set(old)
    if (!next.delete(id)) next.add(id)
    return next
  })
  const selected = (tasks || []).filter(task => chosen.has(task.task_id))
  const unfinished = selected.filter(task => !ENDED.has(task.state))
  const failed = selected.filter(task => task.state === "failed")
  const act = async (list, action, done) => {
    setBusy(true)
    const wrong = await each(list.map(task => task.task_id), action)
    setBusy(false)
    setChosen(new Set())
    const good = list.length - wrong.length
    setSaid({kind: wrong.length ? "bad" : "good", text: `${good} ${good === 1 ? "task" : "tasks"} ${done}.${wrong.length ? ` ${wrong.length} not: ${wrong[0][1]}` : ""}`})
    again()
  }
  const filtered = FILTERS.some(name => filters[name])
  return html`
    <${Page} title=${title} actions=${html`<a class="button" href=${href("playground")}>New task</a>`}>
      <${Filters} filters=${filters} />
      ${error && html`<${Notice} kind="bad" title="The list cannot be read.">${error.message}<//>`}
      ${said && html`<${Notice} kind=${said.kind} onClose=${() => setSaid(null)}>${said.text}<//>`}
      ${!tasks && !error && html`<${Loading} what="Reading tasks" />`}
      ${tasks && !tasks.length && !more && (filtered
        ? html`<${Empty} title="No task matches these filters"><p><a href=${href("tasks")}>Show all tasks</a></p><//>`
        : html`<${Empty} title="No tasks yet"><p>Create the first one in the <a href=${href("playground")}>playground</a>.</p><//>`)}
      ${tasks && html`<ul class="cards" onKeyDown=${move}>
        ${tasks.map(task => html`<${Card} key=${task.task_id} task=${task}
          chosen=${chosen.has(task.task_id)} onChoose=${() => choose(task.task_id)} />`)}
      </ul>`}
      ${more && html`<p class="more"><button type="button" class="secondary" onClick=${readMore}>Show older tasks</button></p>`}
      ${selected.length > 0 && html`
        <div class="actions" role="region" aria-label="Selected tasks">
          <strong>${selected.length} selected</strong>
          <button type="button" class="danger" disabled=${busy || !unfinished.length} onClick=${() => act(unfinished, "cancel", "canceled")}>
            Cancel ${unfinished.length || ""}</button>
          <button type="button" class="secondary" disabled=${busy || !failed.length} onClick=${() => act(failed, "retry", "queued again")}>
            Retry ${failed.length || ""}</button>
          <button type="button" class="quiet" onClick=${() => setChosen(new Set(tasks.map(task => task.task_id)))}>Select all shown</button>
          <button type="button" class="quiet" onClick=${() => setChosen(new Set())}>Clear</button>
        </div>`}
    <//>`
}

export function Screen({parts, query}) {
  if (parts[0]) return html`<${Detail} id=${parts[0]} key=${parts[0]} />`
  const filters = Object.fromEntries(FILTERS.map(name => [name, query.get(name) || ""]))
  return html`<${List} filters=${filters} />`
}
