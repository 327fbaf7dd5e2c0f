import {html} from "../vendor/htm-preact.js"
import {useLive} from "../session.js"
import {Loading, Page, Tile, Tiles} from "../ui.js"

export const title = "Overview"
export const path = "overview"

export function Screen() {
  const now = useLive("admin:overview")
  if (!now) return html`<${Loading} />`
  return html`
    <${Page} title=${title}>
      <${Tiles}>
        <${Tile} name="Running" value=${now.running} />
        <${Tile} name="Sockets" value=${now.sockets} />
      <//>
    <//>`
}
