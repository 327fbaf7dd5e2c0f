// The place in the console is in the hash: #/tasks/ID?status=failed
import {useEffect, useState} from "./vendor/htm-preact.js"

export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?")
  return {parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query)}
}

// The hash of a place, for links. Empty values of the query are left out.
export function href(parts, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value != null)
  const text = new URLSearchParams(kept).toString()
  return `#/${[].concat(parts).map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`
}

export function go(parts, query, {replace = false} = {}) {
  const hash = href(parts, query)
  if (replace) {
    history.replaceState(null, "", hash)
    dispatchEvent(new HashChangeEvent("hashchange"))
  } else {
    location.hash = hash
  }
}

export function usePlace() {
  const [here, setHere] = useState(place)
  useEffect(() => {
    const changed = () => setHere(place())
    addEventListener("hashchange", changed)
    return () => removeEventListener("hashchange", changed)
  }, [])
  return here
}
