// The screens of the console, in the order of the menu. A new screen adds a line here.
import * as overview from "./screens/overview.js"
import * as tasks from "./screens/tasks.js"

export const screens = [overview, tasks]
