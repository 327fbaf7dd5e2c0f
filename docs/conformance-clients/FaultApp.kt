// faultapp BASE_URL CLIENT [ID,…]: JavaPhoenixClient plays the scenarios of the fault server, all at once.
// `suspend` stops the whole process, so a scenario with this action needs a process of its own.
import com.google.gson.JsonParser
import org.phoenixframework.Channel
import org.phoenixframework.Payload
import org.phoenixframework.Presence
import org.phoenixframework.Socket
import java.net.HttpURLConnection
import java.net.URL
import java.util.concurrent.atomic.AtomicInteger

val tokens = AtomicInteger()

class App(url: String, val topic: String) {
  val socket = Socket(url, { mapOf("token" to "t${tokens.incrementAndGet()}") })
  val acts = java.util.concurrent.CopyOnWriteArrayList<() -> Unit>()
  lateinit var channel: Channel
  var isLost = false

  init {
    socket.heartbeatIntervalMs = 700
    socket.timeout = 1500
    socket.onClose { lost() }
    socket.onError { _, _ -> lost() }
    use()
    socket.connect()
  }

  @Synchronized fun lost() {
    if (isLost) return
    isLost = true
    channel.push("buffered", mapOf())
    acts.forEach { it() }
  }

  fun use() {
    val channel = socket.channel(topic, mapOf())
    val presence = Presence(channel)
    this.channel = channel
    presence.onSync {
      val sizes = presence.state.mapValues { (it.value["metas"] ?: listOf()).size }
      channel.push("heard", mapOf("present" to sizes))
    }
    channel.on("ask") { channel.push("heard", it.payload) }
    channel.on("do") { act(channel, it.payload) }
    channel.join().receive("ok") {
      channel.push("echo", mapOf("some" to "payload"))
        .receive("ok") { channel.push("heard", mapOf("reply" to it.payload)) }
        .receive("timeout") { channel.push("heard", mapOf("timeout" to true)) }
    }
  }

  fun act(channel: Channel, payload: Payload) {
    val action = payload["action"] as String
    when (action) {
      "leave_and_join" -> {
        channel.leave()
        use()
        return
      }
      "join_and_leave" -> {
        val other = socket.channel(payload["topic"] as String, mapOf())
        other.join()
        other.leave()
      }
      "join_when_lost" -> acts.add { socket.channel(payload["topic"] as String, mapOf()).join() }
      "push_when_lost" -> acts.add {
        channel.push("outdated", mapOf(), (payload["timeout_ms"] as Double).toLong())
          .receive("timeout") { channel.push("heard", mapOf("expired" to true)) }
      }
      "suspend" -> {
        val pid = java.lang.management.ManagementFactory.getRuntimeMXBean().name.substringBefore("@")
        val seconds = payload["seconds"] as Double
        ProcessBuilder("sh", "-c", "kill -STOP $pid; sleep $seconds; kill -CONT $pid").start().waitFor()
      }
    }
    channel.push("heard", mapOf("done" to action))
  }
}

fun main(args: Array<String>) {
  val request = URL("${args[0]}/control/scenarios?client=${args[1]}").openConnection() as HttpURLConnection
  request.setRequestProperty("X-Control-Token", System.getenv("CONTROL_TOKEN") ?: "")
  val text = request.inputStream.bufferedReader().readText()
  val only = if (args.size > 2) args[2].split(",") else listOf()
  val apps = JsonParser.parseString(text).asJsonObject["scenarios"].asJsonArray
    .map { it.asJsonObject }
    .filter {
      val action = if (it["action"].isJsonNull) "" else it["action"].asString
      if (only.isEmpty()) action != "suspend" else it["id"].asString in only
    }
    .map { App(it["url"].asString, it["topic"].asString) }
  println("playing ${apps.size}")
  Thread.sleep(Long.MAX_VALUE)
}
