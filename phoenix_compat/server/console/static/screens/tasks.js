import {html} from "../vendor/htm-preact.js"
import {Empty, Page} from "../ui.js"

export const title = "Tasks"
export const path = "tasks"

export function Screen() {
  return html`<${Empty, Page} title="No tasks yet" />`
}
