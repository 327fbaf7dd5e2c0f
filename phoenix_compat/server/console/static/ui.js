// Components that the screens share. They have no state of the server.
import {html, useEffect, useRef, useState} from "./vendor/htm-preact.js"

export const number = value => value == null ? "–" : value.toLocaleString("en")
export const usd = value => value == null ? "–" : `$${value < 0.1 && value > 0 ? value.toFixed(4).replace(/00$/, "") : value.toFixed(2)}`

export function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "–"
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86400)} d`
}

export function bytes(count) {
  if (count == null) return "–"
  const units = ["B", "kB", "MB", "GB", "TB"]
  let power = 0
  while (count >= 1000 && power < units.length - 1) { count /= 1000; power++ }
  return `${power && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[power]}`
}

const seconds = text => (Date.now() - Date.parse(text)) / 1000

const WHEN = new Intl.DateTimeFormat([], {dateStyle: "short", timeStyle: "medium"})

// The age of a time, as text that renews itself.
export function Age({of}) {
  const [, tick] = useState(0)
  const age = Math.max(0, seconds(of))
  useEffect(() => {
    const timer = setTimeout(() => tick(count => count + 1), age < 90 ? 1000 : 30000)
    return () => clearTimeout(timer)
  })
  const text = age < 5 ? "now" : age < 90 ? `${Math.floor(age)} s` : duration(age)
  return html`<time datetime=${of} title=${of && WHEN.format(new Date(of))}>${text}${age >= 5 && html`<span class="ago"> ago</span>`}</time>`
}

export const Loading = ({what = "Loading"}) => html`<p class="loading" role="status" aria-busy="true">${what}…</p>`

export const Empty = ({title, children}) => html`
  <div class="empty"><p class="empty-title">${title}</p>${children}</div>`

// kind: info | good | warning | bad
export const Notice = ({kind = "info", title, children, onClose}) => html`
  <div class=${`notice ${kind}`} role=${kind === "bad" ? "alert" : "status"}>
    <div>${title && html`<strong>${title}</strong> `}${children}</div>
    ${onClose && html`<button type="button" class="quiet" onClick=${onClose} aria-label="Dismiss">×</button>`}
  </div>`

// A screen: its heading, what stands beside it, and the content.
export const Page = ({title, actions, children}) => html`
  <div class="page"><header><h1>${title}</h1>${actions && html`<div class="row">${actions}</div>`}</header>${children}</div>`

export const Tiles = ({children}) => html`<div class="tiles">${children}</div>`

export const Tile = ({name, value, note, kind, href, children}) => html`
  <div class=${`tile ${kind || ""}`}>
    <h3>${href ? html`<a href=${href}>${name}</a>` : name}</h3>
    <p class="value">${value}</p>
    ${note && html`<p class="note">${note}</p>`}
    ${children}
  </div>`

const WORDS = {queued: "Queued", submitting: "Starting", running: "Running", completed: "Completed", failed: "Failed"}

export const Status = ({of}) => html`<span class=${`status ${of}`}>${WORDS[of] || of}</span>`

// progress: 0 to 1; a queued task has an empty ring.
export const Ring = ({progress, label}) => {
  const length = 2 * Math.PI * 20
  const text = `${Math.round(progress * 100)}%`
  return html`
    <svg class="ring" viewBox="0 0 48 48" role="img" aria-label=${label || text}>
      <circle class="track" cx="24" cy="24" r="20" />
      ${progress > 0 && html`<circle class="arc" cx="24" cy="24" r="20" stroke-dasharray=${length}
        stroke-dashoffset=${length * (1 - Math.max(progress, 0.02))} transform="rotate(-90 24 24)" />`}
      <text x="24" y="24" text-anchor="middle" dominant-baseline="central">${text}</text>
    </svg>`
}

export const Bar = ({value, of, name}) => html`
  <progress value=${Math.min(value, of)} max=${of} aria-label=${name}></progress>`

// The path of a file of this server: the page may have another address than its links. Null for others.
export const local = url => {
  const at = url.indexOf("/files/")
  return at >= 0 ? url.slice(at) : null
}

// An output file, shown as what its ending says. What is stored elsewhere is only linked: nothing is loaded from there.
export function Media({url, name}) {
  const path = local(url)
  if (!path) return html`<p class="panel">Stored at the provider: <a href=${url} rel="noreferrer noopener" target="_blank">${url}</a></p>`
  const ending = path.split(".").at(-1)
  if (/^(jpe?g|png|webp|gif|avif)$/.test(ending)) {
    return html`<a href=${path} target="_blank" rel="noopener"><img class="output" src=${path} alt=${name} /></a>`
  }
  if (/^(mp3|wav|ogg|flac|m4a)$/.test(ending)) return html`<audio controls preload="metadata" src=${path} aria-label=${name}></audio>`
  if (/^(mp4|webm|mov)$/.test(ending)) return html`<video class="output" controls preload="metadata" src=${path} aria-label=${name}></video>`
  return html`<p class="panel"><a href=${path} target="_blank" rel="noopener">Open the file (${ending})</a></p>`
}

export function Copy({text, name = "Copy"}) {
  const [done, setDone] = useState(false)
  const copy = async () => {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text)
    } else { // no clipboard without TLS, except on localhost
      const area = document.createElement("textarea")
      area.value = text
      document.body.append(area)
      area.select()
      document.execCommand("copy")
      area.remove()
    }
    setDone(true)
    setTimeout(() => setDone(false), 1500)
  }
  return html`<button type="button" class="quiet copy" onClick=${copy}>${done ? "Copied" : name}</button>`
}

export const Code = ({text, label}) => html`
  <figure class="code"><${Copy} text=${text} /><pre tabindex="0" aria-label=${label}><code>${text}</code></pre></figure>`

// tabs: [[name, content], …]
export function Tabs({tabs, label}) {
  const [chosen, choose] = useState(0)
  const buttons = useRef([])
  const move = event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (!step) return
    event.preventDefault()
    const next = (chosen + step + tabs.length) % tabs.length
    choose(next)
    buttons.current[next].focus()
  }
  return html`
    <div class="tabs">
      <div role="tablist" aria-label=${label} onKeyDown=${move}>
        ${tabs.map(([name], index) => html`
          <button type="button" role="tab" ref=${found => { buttons.current[index] = found }}
            aria-selected=${index === chosen ? "true" : "false"} tabindex=${index === chosen ? 0 : -1}
            onClick=${() => choose(index)}>${name}</button>`)}
      </div>
      <div role="tabpanel" aria-label=${tabs[chosen][0]}>${tabs[chosen][1]}</div>
    </div>`
}

// A modal dialog; Escape and a click beside it close it.
export function Dialog({title, onClose, children}) {
  const box = useRef(null)
  useEffect(() => {
    const dialog = box.current
    dialog.showModal()
    return () => dialog.close()
  }, [])
  return html`
    <dialog ref=${box} aria-label=${title} onCancel=${event => { event.preventDefault(); onClose() }}
      onClick=${event => { if (event.target === box.current) onClose() }}>
      <div class="dialog">
        <header><h2>${title}</h2><button type="button" class="quiet" aria-label="Close" onClick=${onClose}>×</button></header>
        ${children}
      </div>
    </dialog>`
}
