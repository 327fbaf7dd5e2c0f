// What browsers have and Node.js does not: older versions of phoenix.js poll with it. As in browsers, a
// request that fails first reaches readyState 4 without a response, and then reports why.
export class XMLHttpRequest {
  readyState = 0
  responseText = ""
  status = 0
  timeout = 0
  #headers = {}
  #cancel = new AbortController()
  #ending = "onerror"

  open(method, url) {
    this.method = method
    this.url = url
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value
  }

  abort() {
    this.#end("onabort")
  }

  async send(body) {
    const timer = this.timeout ? setTimeout(() => this.#end("ontimeout"), this.timeout) : null
    let ending = "onload"
    try {
      const options = {method: this.method, headers: this.#headers, body, signal: this.#cancel.signal}
      const response = await fetch(this.url, options)
      this.responseText = await response.text()
      this.status = response.status
    } catch {
      ending = this.#ending
    }
    clearTimeout(timer)
    this.readyState = 4
    this.onreadystatechange?.()
    this[ending]?.()
  }

  #end(ending) {
    this.#ending = ending
    this.#cancel.abort()
  }
}
