// The screens of the console, in the order of the menu. A new screen adds a line here.
import * as overview from "./screens/overview.js"
import * as tasks from "./screens/tasks.js"
import * as playground from "./screens/playground.js"
import * as sockets from "./screens/sockets.js"
import * as channels from "./screens/channels.js"
import * as provider from "./screens/provider.js"
import * as keys from "./screens/keys.js"
import * as logs from "./screens/logs.js"
import * as settings from "./screens/settings.js"

export const screens = [overview, tasks, playground, sockets, channels, provider, keys, logs, settings]
