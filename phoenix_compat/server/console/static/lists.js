// Lists that are asked for again and again, and what their screens share.
import {html, useEffect, useRef, useState} from "./vendor/htm-preact.js"
import {useChannel} from "./session.js"
import {go} from "./router.js"
import {Notice} from "./ui.js"

// Pushes `event` with `query` to a topic: at once, when the query changes, and `pause` ms after each
// answer, while the page is visible; later if the answer took long, so that many viewers of a busy
// server do not make it busier. `query` may be a function that is called for each push; then
// `key` says when to ask at once. With `pause` 0 nothing is asked. Returns {answer, error, again, push}.
export function useList(topic, event, query, {pause = 2000, onAnswer, onJoined, key = JSON.stringify(query)} = {}) {
  const [found, setFound] = useState({answer: null, error: null})
  const latest = useRef({})
  const timer = useRef(0)
  const asked = useRef(0)
  const push = useChannel(topic, happened => {
    if (happened !== "joined") return
    latest.current.onJoined?.()
    again()
  })
  latest.current = {query, onAnswer, onJoined, pause}
  const again = async () => {
    clearTimeout(timer.current)
    if (!latest.current.pause) return
    const number = ++asked.current
    const given = latest.current.query
    const began = performance.now()
    try {
      const answer = await push(event, typeof given === "function" ? given() : given)
      if (number !== asked.current) return
      setFound({answer: latest.current.onAnswer ? latest.current.onAnswer(answer) : answer, error: null})
    } catch (error) {
      if (number !== asked.current) return
      setFound(old => ({...old, error}))
    }
    const took = performance.now() - began
    if (!document.hidden) timer.current = setTimeout(again, Math.max(latest.current.pause, Math.min(took * 10, 30000)))
  }
  useEffect(() => {
    const seen = () => { if (!document.hidden) again() }
    document.addEventListener("visibilitychange", seen)
    return () => { document.removeEventListener("visibilitychange", seen); clearTimeout(timer.current); asked.current = -1 }
  }, [])
  const first = useRef(true)
  useEffect(() => {
    if (first.current) { first.current = false; return undefined }
    const typed = setTimeout(again, 200)
    return () => clearTimeout(typed)
  }, [key])
  return {...found, again, push}
}

// Changes some values of the place's query, so that a filter is part of the address.
export function useFilter(path, query) {
  return values => go(path, {...Object.fromEntries(query), ...values}, {replace: true})
}

export const Search = ({value, onInput, label, placeholder}) => html`
  <input type="search" aria-label=${label} placeholder=${placeholder || label} value=${value}
    onInput=${event => onInput(event.target.value)} />`

export const Choice = ({value, of, onChange, label}) => html`
  <select aria-label=${label} value=${value} onChange=${event => onChange(event.target.value)}>
    ${Object.entries(of).map(([key, name]) => html`<option value=${key} selected=${key === value}>${name}</option>`)}
  </select>`

export const Missing = ({silent}) => silent?.length > 0 && html`
  <${Notice} kind="warning">${silent.length === 1 ? "Process" : "Processes"} ${silent.join(", ")} did not answer; what only they know is missing.<//>`
