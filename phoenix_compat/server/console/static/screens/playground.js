// Creates a task as an app would, and shows what passes over the wire.
import {html, useEffect, useRef, useState} from "../vendor/htm-preact.js"
import {api, key, useApi} from "../session.js"
import {href} from "../router.js"
import {Code, Copy, Loading, Media, Notice, Page, Ring, Status, Tabs, local, usd} from "../ui.js"
import {snippets} from "../snippets.js"
import {follow} from "../wire.js"

export const title = "Playground"
export const path = "playground"

const VERSIONS = [["2.0.0", "V2"], ["1.0.0", "V1"]]
const MAX_FRAMES = 500
const FIRST = {prompt: "Medieval monk illuminating a manuscript by candlelight", text: "Good morning from the playground."}
const words = name => (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ")

const FILES = ["image", "audio", "video"]

// The values of a form that begins with the inputs of a task: files are known by their ids only.
function valuesOf(type, again) {
  const values = {...FIRST, ...again}
  for (const {name, kind} of type.inputs) {
    if (!FILES.includes(kind) || !values[name]) continue
    values[name] = [].concat(values[name]).map(id => ({id, name: id.slice(0, 24), content_type: "", url: ""}))
  }
  return values
}

// What goes into input_data: empty fields are left out, numbers are numbers.
function inputOf(type, model, inputs, values) {
  const input = {type: type.type}
  if (model && model !== type.default_model) input.model = model
  for (const spec of inputs) {
    const value = values[spec.name]
    if (value === undefined || value === "" || (Array.isArray(value) && !value.length)) continue
    if (spec.kind === "integer" || spec.kind === "number") input[spec.name] = Number(value)
    else if (Array.isArray(value)) input[spec.name] = spec.many && value.length > 1 ? value.map(file => file.id) : value[0].id
    else input[spec.name] = value
  }
  return input
}

function Upload({spec, value = [], onChange}) {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState("")
  const send = async files => {
    setBusy(true)
    setProblem("")
    const stored = []
    try {
      for (const file of files) {
        const answer = await api("/api/files", {method: "POST", body: file, raw: true, headers: {"Content-Type": file.type || "application/octet-stream"}})
        stored.push({...answer, name: file.name})
      }
    } catch (error) { setProblem(error.message) }
    setBusy(false)
    onChange(spec.many ? [...value, ...stored] : stored)
  }
  return html`
    <div class="upload" onDragOver=${event => event.preventDefault()}
      onDrop=${event => { event.preventDefault(); send([...event.dataTransfer.files].slice(0, spec.many ? 8 : 1)) }}>
      <input type="file" accept=${`${spec.kind}/*`} multiple=${spec.many} aria-label=${words(spec.name)}
        aria-invalid=${problem ? "true" : null} onChange=${event => send([...event.target.files])} />
      ${busy && html`<p class="note" role="status">Sending…</p>`}
      ${problem && html`<p class="note bad" role="alert">${problem}</p>`}
      ${value.length > 0 && html`<ul class="files">${value.map((file, index) => html`<li>
        ${file.content_type.startsWith("image/") && html`<img src=${local(file.url)} alt="" />`}
        <span>${file.name}</span><button type="button" class="quiet" aria-label=${`Remove ${file.name}`}
          onClick=${() => onChange(value.filter((_, other) => other !== index))}>×</button></li>`)}</ul>`}
    </div>`
}

function Field({spec, value, error, onChange}) {
  const change = event => onChange(event.target.value)
  const name = words(spec.name)
  const invalid = error ? "true" : null
  const long = spec.name.includes("prompt") || spec.name === "text"
  let input
  if (FILES.includes(spec.kind)) input = html`<${Upload} spec=${spec} value=${value} onChange=${onChange} />`
  else if (spec.kind === "boolean") input = html`<input type="checkbox" role="switch" checked=${value === true} onChange=${event => onChange(event.target.checked || undefined)} />`
  else if (spec.choices) {
    input = html`<select value=${value ?? ""} onChange=${change} aria-invalid=${invalid}>
      <option value="" selected=${!value}>${spec.default != null ? `${spec.default} (default)` : "The model decides"}</option>
      ${spec.choices.map(choice => html`<option value=${choice} selected=${String(choice) === String(value)}>${choice}</option>`)}</select>`
  } else if (spec.kind === "text") {
    input = long ? html`<textarea rows=${spec.name === "prompt" ? 3 : 2} required=${spec.required} aria-invalid=${invalid} value=${value ?? ""} onInput=${change}></textarea>`
      : html`<input required=${spec.required} aria-invalid=${invalid} value=${value ?? ""} onInput=${change} placeholder=${spec.default ?? ""} />`
  } else {
    input = html`<input type="number" step=${spec.kind === "integer" ? 1 : "any"} min=${spec.minimum} max=${spec.maximum} required=${spec.required}
      aria-invalid=${invalid} value=${value ?? ""} onInput=${change} placeholder=${spec.default ?? ""} />`
  }
  return html`<label class=${long || spec.kind === "image" ? "wide" : ""}><span>${name}${!spec.required && html` <small>optional</small>`}</span>
    ${input}${error ? html`<small class="bad" role="alert">${error}</small>` : spec.description && html`<small>${spec.description}</small>`}</label>`
}

const STAGES = {create: "Create", outcome: "Outcome", poll: "Poll", file: "Download", stream: "Stream", webhook: "Webhook", cancel: "Cancel", list: "List"}

function Faults({fault, onChange}) {
  const faults = useApi("/api/console/faults").answer?.faults || []
  if (!faults.length) return null
  const stages = Object.keys(STAGES).filter(stage => faults.some(each => each.stage === stage))
  return html`
    <details class="faults" open=${fault.name ? true : null}><summary>Let the emulator fail</summary>
      <p class="note">The emulator behaves as Replicate does in trouble, for this task only.</p>
      <div class="row">
        <select aria-label="Fault" value=${fault.name} onChange=${event => onChange({...fault, name: event.target.value})}>
          <option value="" selected=${!fault.name}>No fault</option>
          ${stages.map(stage => html`<optgroup label=${STAGES[stage]}>${faults.filter(each => each.stage === stage)
            .map(each => html`<option value=${each.name} selected=${each.name === fault.name}>${each.name}: ${each.description}</option>`)}</optgroup>`)}
        </select>
        <label class="times">times <input type="number" min="1" max="99" placeholder="all" value=${fault.times}
          onInput=${event => onChange({...fault, times: event.target.value})} /></label>
      </div>
    </details>`
}

function Frames({frames, version, dropped}) {
  const end = useRef(null)
  useEffect(() => { const box = end.current; if (box) box.scrollTop = box.scrollHeight }, [frames.length])
  if (!frames.length) return html`<p class="note">Create a task: each frame of its channel appears here, as it passes.</p>`
  return html`
    <ol class="frames" ref=${end} tabindex="0" aria-label=${`Frames, ${version}`}>
      ${frames.map(frame => html`<li class=${frame.direction}><span class="at">${(frame.at_ms / 1000).toFixed(2)} s</span>
        <span class="arrow" aria-label=${{out: "sent", in: "received", info: "note"}[frame.direction]}>${{out: "→", in: "←", info: "·"}[frame.direction]}</span><code>${frame.text}</code></li>`)}
    </ol>
    <p class="row"><${Copy} name="Copy all" text=${frames.map(frame => `${frame.direction === "in" ? "<" : ">"} ${frame.text}`).join("\n")} />
      ${dropped > 0 && html`<span class="note">${dropped} older frames are not shown.</span>`}</p>`
}

function Result({run}) {
  if (!run) return html`<div class="panel waiting"><p class="note">The result appears here.</p></div>`
  const {last, text, partial} = run
  const done = last?.status === "completed"
  const result = last?.result_data
  const urls = (done ? result.image_urls || (result.image_url ? [result.image_url] : result.output_urls) : partial) || []
  const link = html`<p class="row"><${Status} of=${last?.status === "processing" || !last ? "running" : last.status} />
    <a href=${href(["tasks", run.id])}>Show in Tasks</a></p>`
  if (last?.status === "failed") {
    return html`<${Notice} kind="bad" title=${(last.error_data.code || "failed").replaceAll("_", " ")}>${last.error_data.error}<//>${link}`
  }
  return html`
    ${urls.map(url => html`<${Media} url=${url} name="The result" />`)}
    ${(text || result?.text) && html`<div class="panel output-text" aria-live="polite">${done ? result.text || text : text}</div>`}
    ${!urls.length && !text && !done && html`<div class="panel waiting"><${Ring} progress=${last?.progress || 0} /></div>`}
    ${link}`
}

function Form({types, again}) {
  const [typeName, setType] = useState(again?.type || types[0].type)
  const type = types.find(each => each.type === typeName) || types[0]
  const [model, setModel] = useState(again?.model || type.default_model)
  const [values, setValues] = useState(() => valuesOf(type, again))
  const [version, setVersion] = useState("2.0.0")
  const [fault, setFault] = useState({name: "", times: ""})
  const [problem, setProblem] = useState(null)
  const [busy, setBusy] = useState(false)
  const [run, setRun] = useState(null)
  const [frames, setFrames] = useState({list: [], dropped: 0})
  const leave = useRef(null)
  useEffect(() => () => leave.current?.(), [])
  const known = type.models.find(each => each.model === model)
  const inputs = type.inputs.filter(spec => spec.required || !known || known.inputs.includes(spec.name))
  const input = inputOf(type, model, inputs, values)
  const sent = {...input}
  const spoken = "prompt" in sent ? "prompt" : "text" in sent ? "text" : null
  if (fault.name && spoken) sent[spoken] += ` #fault:${fault.name}${fault.times ? `x${fault.times}` : ""}`
  const choose = name => {
    setType(name)
    setModel(types.find(each => each.type === name).default_model)
    setProblem(null)
  }
  const show = frame => setFrames(({list, dropped}) => list.length < MAX_FRAMES
    ? {list: [...list, frame], dropped} : {list: [...list.slice(1), frame], dropped: dropped + 1})
  const submit = async event => {
    event.preventDefault()
    leave.current?.()
    setBusy(true)
    setProblem(null)
    setFrames({list: [], dropped: 0})
    setRun(null)
    try {
      const {task_id: id} = await api("/api/tasks", {method: "POST", body: {input_data: sent}})
      setRun({id, last: null, text: "", partial: []})
      leave.current = follow({
        id, version, key: key(), show,
        progress: (name, payload) => setRun(old => {
          if (name === "progress") return {...old, last: payload}
          if (payload.urls) return {...old, partial: [...old.partial.slice(0, payload.seq - payload.urls.length), ...payload.urls]}
          return {...old, text: old.text.slice(0, payload.seq - payload.text.length) + payload.text}
        }),
        end: status => { if (status === "refused") setProblem({message: "The channel refused the join."}) },
      })
    } catch (error) { setProblem(error) }
    setBusy(false)
  }
  const fields = Object.fromEntries((problem?.problem?.errors || []).map(each => [each.field.replace("input_data.", ""), each.detail]))
  const cost = known?.price_usd != null && known.price_usd * (Number(values.num_outputs) || 1)
  return html`
    <div class="halves playground">
      <form class="panel" onSubmit=${submit}>
        <div class="fields">
          <label><span>Type</span><select value=${type.type} onChange=${event => choose(event.target.value)}>
            ${types.map(each => html`<option value=${each.type} selected=${each.type === type.type}>${words(each.type)}</option>`)}</select></label>
          <label><span>Model</span><select value=${model} onChange=${event => setModel(event.target.value)}>
            ${!known && html`<option value=${model} selected>${model}</option>`}
            ${type.models.map(each => html`<option value=${each.model} selected=${each.model === model}>${each.model}</option>`)}</select>
            <small>${cost !== false ? `About ${usd(cost)} a task` : "Price unknown"}</small></label>
          ${inputs.map(spec => html`<${Field} key=${`${type.type} ${spec.name}`} spec=${spec} value=${values[spec.name]} error=${fields[spec.name]}
            onChange=${value => setValues(old => ({...old, [spec.name]: value}))} />`)}
        </div>
        ${spoken && html`<${Faults} fault=${fault} onChange=${setFault} />`}
        ${problem && !Object.keys(fields).length && html`<${Notice} kind="bad">${problem.message}<//>`}
        <div class="row submit">
          <button type="submit" disabled=${busy}>Create task</button>
          <span class="row">Frames <span class="segments" role="group" aria-label="Version of the frames">
            ${VERSIONS.map(([value, name]) => html`<button type="button" aria-pressed=${version === value ? "true" : "false"} onClick=${() => setVersion(value)}>${name}</button>`)}
          </span></span>
        </div>
      </form>
      <div><${Result} run=${run} /></div>
    </div>
    <section class="panel"><${Tabs} label="What an app does" tabs=${[
      ["Frames", html`<${Frames} frames=${frames.list} dropped=${frames.dropped} version=${version} />`],
      ...snippets(sent, location.origin, Boolean(key())).map(([name, text]) => [name, html`<${Code} text=${text} label=${name} />`]),
    ]} /></section>`
}

export function Screen({query}) {
  const {answer, error} = useApi("/api/task_types")
  const from = query.get("from")
  const {answer: task, error: gone} = useApi(from && `/api/tasks/${encodeURIComponent(from)}`)
  if (error) return html`<${Page} title=${title}><${Notice} kind="bad">${error.message}<//><//>`
  if (!answer || (from && !task && !gone)) return html`<${Loading} />`
  const types = answer.task_types
  if (!types.length) return html`<${Page} title=${title}><${Notice} kind="warning">No task type has a model that <code>allowed_models</code> allows.<//><//>`
  const again = task && {...task.input_data, model: task.model}
  return html`<${Page} title=${title}><${Form} types=${types} again=${again} key=${from || ""} /><//>`
}
