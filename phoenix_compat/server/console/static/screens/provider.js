import {html} from "../vendor/htm-preact.js"
import {useLive} from "../session.js"
import {href} from "../router.js"
import {duration, Empty, Loading, Notice, number, Page, Tile, Tiles, usd} from "../ui.js"

export const title = "Provider"
export const path = "provider"

const CIRCUITS = {
  closed: ["Closed", "good", "Creates are sent"],
  open: ["Open", "bad", "Creates wait; one is sent from time to time as a probe"],
  half_open: ["Trying", "warning", "A probe is on its way"],
}
const OPERATIONS = {submit: "Create", fetch: "Poll", cancel: "Cancel", find: "Search"}
const RESULTS = {ok: "accepted", throttled: "answered with 429", refused: "refused", unreachable: "not sent", uncertain: "answer lost", failed: "failed", canceled: "stopped"}
const REMEDIES = {
  provider_account: "Check the token and the credit of the account at Replicate. Tasks wait and go on by themselves.",
  provider_unavailable: "The provider does not answer. Tasks wait and go on by themselves.",
}

const results = (found, words = RESULTS) => Object.entries(found).filter(([, count]) => count).map(([name, count]) => `${number(count)} ${words[name] || name}`).join(", ")

// A histogram as bars; each bar has its bound and count as text for screen readers and as a tooltip.
function Times({times, name}) {
  const most = Math.max(...times.buckets.map(([, count]) => count), 1)
  const first = times.buckets.findIndex(([, count]) => count)
  const last = times.buckets.findLastIndex(([, count]) => count)
  const from = Math.max(Math.min(first - 1, times.buckets.length - 8), 0)
  const shown = times.buckets.slice(from, Math.max(last + 2, from + 8))
  return html`<ul class="bars" aria-label=${`How long ${name} took`}>${shown.map(([bound, count]) => {
    const text = bound === null ? "longer" : `up to ${duration(bound)}`
    return html`<li title=${`${number(count)} ${text}`}><svg viewBox="0 0 10 40" preserveAspectRatio="none" aria-hidden="true">
      <rect x="0" width="10" y=${40 - 40 * count / most} height=${40 * count / most} /></svg>
      <span>${bound === null ? "∞" : bound < 1 ? `${bound * 1000} ms` : `${bound} s`}</span><span class="visually-hidden">: ${count} ${text}</span></li>`
  })}</ul>`
}

const Call = ({call}) => html`
  <section class="panel">
    <h2>${OPERATIONS[call.operation] || call.operation} <small>${number(call.times.count)}</small></h2>
    <p class="note">Half within ${duration(call.times.p50_s)}, 95 % within ${duration(call.times.p95_s)}. ${results(call.results, call.operation === "submit" ? RESULTS : {...RESULTS, ok: "answered"})}.</p>
    <${Times} times=${call.times} name=${call.operation} />
  </section>`

const Rows = ({of, heads, empty, label}) => of.length === 0 ? html`<p class="note">${empty}</p>` : html`
  <div class="scroll" tabindex="0" role="region" aria-label=${label}><table class="list">
    <thead><tr>${heads.map(([name, isFigure]) => html`<th class=${isFigure ? "figure" : null}>${name}</th>`)}</tr></thead>
    <tbody>${of.map(row => html`<tr key=${row[0]}>${row.map((cell, index) => html`<td class=${heads[index][1] ? "figure" : null}>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`

export function Screen() {
  const now = useLive("admin:provider")
  if (!now) return html`<${Page} title=${title}><${Loading} /><//>`
  if (now.error) return html`<${Page} title=${title}><${Notice} kind="bad">${now.error}<//><//>`
  const [circuit, kind, meaning] = CIRCUITS[now.circuit]
  const asked = Object.values(now.creates).reduce((sum, count) => sum + count, 0)
  const inForce = now.fallbacks.filter(each => each.is_in_force)
  const cost = now.models.reduce((sum, each) => sum + each.cost_usd, 0)
  return html`
    <${Page} title=${title} actions=${html`<span class="muted">${now.is_emulator ? "Emulator of Replicate; nothing is paid" : now.base_url}</span>`}>
      ${now.reason && html`<${Notice} kind="bad" title=${`The circuit is not closed: ${now.reason}, for ${duration(now.open_s)}.`}>${REMEDIES[now.reason] || ""}<//>`}
      ${now.is_reduced && html`<${Notice} kind="warning" title="Creates are sent more slowly.">The provider answered with 429; the pace recovers by itself.<//>`}
      ${inForce.map(each => html`<${Notice} kind="warning" title="A fallback is in force.">
        ${each.model} is unavailable; ${each.fallback} was used ${number(each.tasks)} times, last ${duration(each.last_s_ago)} ago.<//>`)}
      <section><h2 class="visually-hidden">Now</h2><${Tiles}>
        <${Tile} name="Circuit" value=${circuit} kind=${kind} note=${meaning} />
        <${Tile} name="Pace of creates" value=${number(now.creates_per_minute)} note=${`a minute; ${number(now.full_per_minute)} configured`} kind=${now.is_reduced ? "warning" : ""} />
        <${Tile} name="429 answers" value=${number(now.creates.throttled)} note=${`of ${number(asked)} creates`} kind=${now.creates.throttled ? "warning" : ""} />
        <${Tile} name="Estimated cost" value=${usd(cost)} note="since the start" />
      <//></section>
      ${now.calls.length === 0 ? html`<${Empty} title="The provider has not been asked yet"><p>Create a task in the <a href=${href("playground")}>playground</a>.</p><//>` : html`
        <div class="columns">${now.calls.map(call => html`<${Call} key=${call.operation} call=${call} />`)}</div>`}
      <div class="columns">
        <section class="panel wide"><h2>Models</h2>
          <${Rows} label="Models" empty="No model has run yet." heads=${[["Model"], ["Completed", 1], ["Half within", 1], ["95 % within", 1], ["Cost", 1]]}
            of=${now.models.map(each => [each.model, number(each.completed), duration(each.p50_s), duration(each.p95_s), usd(each.cost_usd)])} />
        </section>
        <section class="panel wide"><h2>Failed tasks by code</h2>
          <${Rows} label="Errors" empty="No task has failed." heads=${[["Code"], ["Tasks", 1]]}
            of=${now.errors.map(([code, count]) => [html`<code>${code}</code>`, number(count)])} />
        </section>
        ${now.fallbacks.length > 0 && html`<section class="panel"><h2>Fallbacks</h2>
          <${Rows} label="Fallbacks" heads=${[["Unavailable"], ["Used instead"], ["Tasks", 1], ["Last", 1]]}
            of=${now.fallbacks.map(each => [each.model, each.fallback, number(each.tasks), each.last_s_ago === null ? "–" : `${duration(each.last_s_ago)} ago`])} />
        </section>`}
      </div>
      <p class="note">Numbers since the process that runs the tasks was started. ${Object.entries(now.events).map(([name, count]) => `${name.replaceAll("_", " ")} ${number(count)}`).join(", ")}</p>
    <//>`
}
