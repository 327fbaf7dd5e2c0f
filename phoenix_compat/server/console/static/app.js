// The frame of the console: sign-in, menu, reconnect banner, theme and keyboard.
import {html, render, useEffect, useErrorBoundary, useRef, useState} from "./vendor/htm-preact.js"
import {begin, signIn, signOut, useSession} from "./session.js"
import {screens} from "./screens.js"
import {go, href, usePlace} from "./router.js"
import {Dialog, Loading, Notice} from "./ui.js"

const THEMES = {auto: "System", light: "Light", dark: "Dark"}
const KEYS = "console.keys"

function SignIn({error}) {
  const [given, setGiven] = useState("")
  const [busy, setBusy] = useState(false)
  const submit = async event => {
    event.preventDefault()
    setBusy(true)
    await signIn(given)
    setBusy(false)
  }
  return html`
    <main class="sign-in">
      <img src="/favicon.svg" alt="" width="48" height="48" />
      <h1>Console</h1>
      <form onSubmit=${submit}>
        <label>Key with the scope “operate”
          <input type="password" autocomplete="off" spellcheck="false" required autofocus placeholder="pck_…"
            aria-invalid=${error ? "true" : null} aria-describedby="sign-in-help"
            value=${given} onInput=${event => setGiven(event.target.value)} />
        </label>
        ${error && html`<${Notice} kind="bad">${error}<//>`}
        <button type="submit" disabled=${busy}>Open the console</button>
      </form>
      <p id="sign-in-help" class="note">Create one on the server:<br />
        <code>phoenix-compat keys create NAME --scope operate</code></p>
      <p class="note">It stays in this tab and is forgotten when you close it.</p>
    </main>`
}

// Shown when the connection has been lost for a moment, not for a blink.
function Banner({connection}) {
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (connection === "open") { setShown(false); return undefined }
    const timer = setTimeout(() => setShown(true), 800)
    return () => clearTimeout(timer)
  }, [connection])
  return shown && html`<div class="banner" role="alert">
    <span class="dot"></span>The server does not answer. What you see may be out of date; this page reconnects by itself.</div>`
}

function Theme() {
  const [theme, setTheme] = useState(window.consoleTheme.get())
  const choose = event => { window.consoleTheme.set(event.target.value); setTheme(event.target.value) }
  return html`<label class="theme">Theme
    <select value=${theme} onChange=${choose}>
      ${Object.entries(THEMES).map(([value, name]) => html`<option value=${value} selected=${value === theme}>${name}</option>`)}
    </select></label>`
}

function Help({onClose, keysOn, setKeysOn}) {
  return html`
    <${Dialog} title="Keyboard" onClose=${onClose}>
      <table class="keys"><tbody>
        ${screens.map((screen, index) => html`<tr><th><kbd>${index + 1}</kbd></th><td>${screen.title}</td></tr>`)}
        <tr><th><kbd>/</kbd></th><td>Search on this screen</td></tr>
        <tr><th><kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd></th><td>Move in the grid of tasks</td></tr>
        <tr><th><kbd>Enter</kbd></th><td>Open the task</td></tr>
        <tr><th><kbd>Esc</kbd></th><td>Back, or close</td></tr>
        <tr><th><kbd>?</kbd></th><td>This list</td></tr>
      </tbody></table>
      <label><input type="checkbox" role="switch" checked=${keysOn}
        onChange=${event => setKeysOn(event.target.checked)} /> Single keys are shortcuts</label>
    <//>`
}

function useKeys(enabled, showHelp) {
  useEffect(() => {
    if (!enabled) return undefined
    const pressed = event => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
      if (event.target.closest("input, textarea, select, dialog, [role=tablist]")) return
      if (event.key === "?") { event.preventDefault(); showHelp() }
      if (event.key === "/") {
        const search = document.querySelector("main input[type=search]")
        if (search) { event.preventDefault(); search.focus() }
      }
      const screen = /^[1-9]$/.test(event.key) && screens[event.key - 1]
      if (screen) { event.preventDefault(); go(screen.path) }
    }
    addEventListener("keydown", pressed)
    return () => removeEventListener("keydown", pressed)
  }, [enabled])
}

// An error in one screen leaves the menu and the other screens as they are.
function Guarded({screen, ...rest}) {
  const [error, reset] = useErrorBoundary(caught => console.error(caught))
  if (!error) return html`<${screen.Screen} ...${rest} />`
  return html`<div class="page"><${Notice} kind="bad" title="This screen stopped because of a bug.">
    ${String(error.message || error)} <button type="button" class="secondary" onClick=${reset}>Try again</button><//></div>`
}

function Frame({info, connection}) {
  const here = usePlace()
  const screen = screens.find(each => each.path === here.parts[0]) || screens[0]
  const [help, setHelp] = useState(false)
  const [keysOn, turnKeys] = useState(() => localStorage.getItem(KEYS) !== "off")
  const setKeysOn = on => { localStorage.setItem(KEYS, on ? "on" : "off"); turnKeys(on) }
  const main = useRef(null)
  const shownPath = useRef(null)
  useKeys(keysOn, () => setHelp(true))
  useEffect(() => {
    document.title = `${screen.title} · phoenix_compat`
    if (shownPath.current !== null && shownPath.current !== screen.path) { main.current.focus(); scrollTo(0, 0) }
    shownPath.current = screen.path
    document.querySelector("nav [aria-current]")?.scrollIntoView({block: "nearest", inline: "center"})
  }, [screen.path])
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); main.current.focus() }}>Skip to the content</a>
    <div class="frame">
      <header class="side">
        <a class="brand" href=${href(screens[0].path)}><img src="/favicon.svg" alt="" width="28" height="28" />
          <span>phoenix_compat<small>${info.version}</small></span></a>
        <nav aria-label="Screens"><ul>
          ${screens.map(each => html`<li><a href=${href(each.path)} aria-current=${each === screen ? "page" : null}>${each.title}</a></li>`)}
        </ul></nav>
        <div class="side-foot">
          <p class=${`connection ${connection}`}>${connection === "open" ? "Live" : "Reconnecting"}${info.provider === "emulator" && " · emulator"}</p>
          <${Theme} />
          <div class="row">
            <button type="button" class="quiet" onClick=${() => setHelp(true)}>Keyboard</button>
            ${info.needs_key && html`<button type="button" class="quiet" onClick=${() => signOut()}>Sign out</button>`}
          </div>
        </div>
      </header>
      <main id="main" ref=${main} tabindex="-1" aria-label=${screen.title}>
        <${Banner} connection=${connection} />
        <${Guarded} screen=${screen} parts=${here.parts.slice(1)} query=${here.query} info=${info} key=${screen.path} />
      </main>
    </div>
    ${help && html`<${Help} onClose=${() => setHelp(false)} keysOn=${keysOn} setKeysOn=${setKeysOn} />`}`
}

function App() {
  const session = useSession()
  if (session.phase === "sign_in") return html`<${SignIn} error=${session.error} />`
  if (session.phase === "open") return html`<${Frame} info=${session.info} connection=${session.connection} />`
  return html`<main class="sign-in"><${Loading} what=${session.connection === "lost" ? "The server does not answer; trying again" : "Opening"} /></main>`
}

render(html`<${App} />`, document.getElementById("app"))
begin()
