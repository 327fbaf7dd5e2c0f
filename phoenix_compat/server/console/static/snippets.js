// Code that creates a task and follows it, as an app would: [[name, text], …].
const shell = text => `'${text.replaceAll("'", "'\\''")}'`
const swift = text => JSON.stringify(text).replaceAll("\\/", "/")

export function snippets(input, origin, key = false) {
  const body = JSON.stringify({input_data: input})
  const socket = origin.replace(/^http/, "ws")
  const bearer = key ? " -H \"Authorization: Bearer $KEY\"" : ""
  return [
    ["curl", `curl ${origin}/api/tasks -H 'Content-Type: application/json'${bearer} \\\n  -d ${shell(body)}`],
    ["Swift", `// SwiftPhoenixClient
var request = URLRequest(url: URL(string: "${origin}/api/tasks")!)
request.httpMethod = "POST"
request.setValue("application/json", forHTTPHeaderField: "Content-Type")
request.httpBody = Data(${swift(body)}.utf8)
let (data, _) = try await URLSession.shared.data(for: request)
let task = try JSONSerialization.jsonObject(with: data) as? [String: Any]

let socket = Socket("${origin}/socket")
let channel = socket.channel("task:\\(task?["task_id"] ?? "")")
channel.on("progress") { message in
  let result = message.payload["result_data"] as? [String: Any]
  print(message.payload["progress"] ?? 0, result?["image_url"] ?? "")
}
channel.join()
socket.connect()`],
    ["JavaScript", `import { Socket } from "phoenix"

const answer = await fetch("${origin}/api/tasks", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(${JSON.stringify({input_data: input}, null, 2).replaceAll("\n", "\n  ")}),
})
const { task_id } = await answer.json()

const socket = new Socket("${socket}/socket")
socket.connect()
const channel = socket.channel(\`task:\${task_id}\`)
channel.on("progress", p => {
  console.log(p.status, p.progress, p.result_data?.image_url)
})
channel.join()`],
  ]
}
