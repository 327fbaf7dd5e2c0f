// faultapp BASE_URL CLIENT [ID,…]: nshafer/phx plays the scenarios of the fault server, all at once.
// `suspend` stops the whole process, so a scenario with this action needs a process of its own.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/nshafer/phx"
)

type scenario struct{ Id, Url, Topic, Action string }
type object = map[string]any

func main() {
	request, _ := http.NewRequest("GET", os.Args[1]+"/control/scenarios?client="+os.Args[2], nil)
	request.Header.Set("X-Control-Token", os.Getenv("CONTROL_TOKEN"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	var list struct{ Scenarios []scenario }
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		panic(err)
	}
	only := ""
	if len(os.Args) > 3 {
		only = "," + os.Args[3] + ","
	}
	count := 0
	for _, one := range list.Scenarios {
		if (only == "" && one.Action != "suspend") || strings.Contains(only, ","+one.Id+",") {
			go play(one)
			count++
		}
	}
	fmt.Println("playing", count)
	select {}
}

func play(one scenario) {
	endPoint, _ := url.Parse(one.Url + "?token=t1") // it takes its params once
	socket := phx.NewSocket(endPoint)
	socket.HeartbeatInterval = 700 * time.Millisecond
	app := &app{socket: socket, topic: one.Topic}
	var lost bool
	socket.OnClose(func() { app.lost(&lost) })
	socket.OnError(func(error) { app.lost(&lost) })
	_ = socket.Connect()
	app.use()
}

type app struct {
	socket  *phx.Socket
	topic   string
	channel *phx.Channel
	acts    []func()
}

func (a *app) lost(before *bool) {
	if *before {
		return
	}
	*before = true
	_, _ = a.channel.Push("buffered", object{})
	for _, act := range a.acts {
		act()
	}
}

func (a *app) use() {
	channel := a.socket.Channel(a.topic, nil)
	channel.PushTimeout = 1500 * time.Millisecond
	a.channel = channel
	channel.On("ask", func(payload any) { _, _ = channel.Push("heard", payload) })
	channel.On("do", func(payload any) { go a.do(channel, payload.(object)) })
	channel.OnJoin(func(any) {
		push, err := channel.Push("echo", object{"some": "payload"})
		if err != nil {
			return
		}
		push.Receive("ok", func(reply any) { _, _ = channel.Push("heard", object{"reply": reply}) })
		push.Receive("timeout", func(any) { _, _ = channel.Push("heard", object{"timeout": true}) })
	})
	join(channel)
}

func join(channel *phx.Channel) {
	if _, err := channel.Join(); err != nil {
		fmt.Println("join:", channel.Topic(), err)
	}
}

func (a *app) do(channel *phx.Channel, payload object) {
	action := payload["action"].(string)
	switch action {
	case "leave_and_join": // one channel for each topic: it has to be removed first
		if _, err := channel.Leave(); err != nil {
			fmt.Println("leave:", err)
		}
		if err := channel.Remove(); err != nil {
			fmt.Println("remove:", err)
		}
		a.use()
		return
	case "join_and_leave":
		other := a.socket.Channel(payload["topic"].(string), nil)
		join(other)
		_, _ = other.Leave()
	case "join_when_lost":
		a.acts = append(a.acts, func() { join(a.socket.Channel(payload["topic"].(string), nil)) })
	case "push_when_lost":
		a.acts = append(a.acts, func() {
			before := channel.PushTimeout
			channel.PushTimeout = time.Duration(payload["timeout_ms"].(float64)) * time.Millisecond
			push, err := channel.Push("outdated", object{})
			channel.PushTimeout = before
			if err == nil {
				push.Receive("timeout", func(any) { _, _ = channel.Push("heard", object{"expired": true}) })
			}
		})
	case "suspend":
		script := fmt.Sprintf("kill -STOP %d; sleep %v; kill -CONT %d", os.Getpid(), payload["seconds"], os.Getpid())
		_ = exec.Command("sh", "-c", script).Run()
	}
	_, _ = channel.Push("heard", object{"done": action})
}
