// faultapp BASE_URL CLIENT [ID,…]: SwiftPhoenixClient plays the scenarios of the fault server, all at once.
// `suspend` stops the whole process, so a scenario with this action needs a process of its own.
import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif
import SwiftPhoenixClient

setvbuf(stdout, nil, _IOLBF, 0)
let args = CommandLine.arguments
var tokens = 0

final class App {
  let socket: Socket
  let topic: String
  var channel: Channel!
  var channels: [Channel] = []
  var presences: [Presence] = []
  var acts: [() -> Void] = []
  var isLost = false

  init(url: String, topic: String) {
    self.topic = topic
    socket = Socket(url, paramsClosure: { tokens += 1; return ["token": "t\(tokens)"] })
    socket.heartbeatInterval = 0.7
    socket.heartbeatLeeway = .milliseconds(10)
    socket.timeout = 1.5
    socket.onClose { self.lost() }
    use()
    socket.connect()
  }

  func lost() {
    guard !isLost else { return }
    isLost = true
    channel.push("buffered", payload: [:])
    for act in acts { act() }
  }

  func use() {
    let channel = socket.channel(topic)
    let presence = Presence(channel: channel)
    self.channel = channel
    channels.append(channel)
    presences.append(presence)
    presence.onSync {
      var sizes: [String: Int] = [:]
      for (key, entry) in presence.state { sizes[key] = entry["metas"]?.count ?? 0 }
      channel.push("heard", payload: ["present": sizes])
    }
    channel.on("ask") { message in channel.push("heard", payload: message.payload) }
    channel.on("do") { message in self.act(channel, message.payload) }
    channel.join().receive("ok") { _ in
      channel.push("echo", payload: ["some": "payload"])
        .receive("ok") { channel.push("heard", payload: ["reply": $0.payload]) }
        .receive("timeout") { _ in channel.push("heard", payload: ["timeout": true]) }
    }
  }

  func act(_ channel: Channel, _ payload: [String: Any]) {
    let action = payload["action"] as! String
    switch action {
    case "leave_and_join":
      channel.leave()
      use()
      return
    case "join_and_leave":
      let other = socket.channel(payload["topic"] as! String)
      channels.append(other)
      other.join()
      other.leave()
    case "join_when_lost":
      acts.append {
        let other = self.socket.channel(payload["topic"] as! String)
        self.channels.append(other)
        other.join()
      }
    case "push_when_lost":
      let timeout = (payload["timeout_ms"] as! Double) / 1000
      acts.append {
        channel.push("outdated", payload: [:], timeout: timeout)
          .receive("timeout") { _ in channel.push("heard", payload: ["expired": true]) }
      }
    case "suspend":
      let pid = ProcessInfo.processInfo.processIdentifier
      let sh = Process()
      sh.executableURL = URL(fileURLWithPath: "/bin/sh")
      sh.arguments = ["-c", "kill -STOP \(pid); sleep \(payload["seconds"] as! Double); kill -CONT \(pid)"]
      try! sh.run()
      Thread.sleep(forTimeInterval: (payload["seconds"] as! Double) + 0.2)
    default: return
    }
    channel.push("heard", payload: ["done": action])
  }
}

var request = URLRequest(url: URL(string: "\(args[1])/control/scenarios?client=\(args[2])")!)
request.setValue(ProcessInfo.processInfo.environment["CONTROL_TOKEN"] ?? "", forHTTPHeaderField: "X-Control-Token")
let done = DispatchSemaphore(value: 0)
var scenarios: [[String: Any]] = []
URLSession.shared.dataTask(with: request) { data, _, error in
  if let data = data, let list = try? JSONSerialization.jsonObject(with: data) as? [String: Any] {
    scenarios = list["scenarios"] as? [[String: Any]] ?? []
  } else { print("no scenarios: \(String(describing: error))") }
  done.signal()
}.resume()
done.wait()
let only = args.count > 3 ? args[3].split(separator: ",").map(String.init) : []
let chosen = scenarios.filter {
  only.isEmpty ? ($0["action"] as? String) != "suspend" : only.contains($0["id"] as! String)
}
let apps = chosen.map { App(url: $0["url"] as! String, topic: $0["topic"] as! String) }
print("playing \(apps.count)")
dispatchMain()
