"""The console: `/console` for operators in a browser, live over the server's own channels.

    context.py         what every screen may use: store, worker, feed, settings
    mounting.py        puts pages, routes, socket and channels into an application
    channels/          one module for each topic `admin:NAME`; `channel_list` has them all
    routes/            one module for each group of paths; `route_list` has them all
    static/            what browsers load: no build step, nothing from elsewhere
    script_bundle.py   joins our own scripts into one, when the server reads them

**A screen** NAME has up to four parts, and each is one file:

1. `channels/NAME.py` has the channel of the topic `admin:NAME`, listed in `channel_list.CHANNELS`.
   A state that is shown again and again is a `LiveChannel` (see there): `read(context)` returns a
   JSON object. The join answers with it, and while somebody watches it is broadcast as the event
   `snapshot`. Other channels are ordinary ones. Everybody who can join has the scope `operate`,
   which `console_socket` checks; `context_of(socket)` is the ConsoleContext.
2. `routes/NAME.py` has actions and pages of lists, under `/api/console/…`, listed in
   `route_list.ROUTES`. Each handler begins with `operator_of(request)`, which checks the scope.
   With `--workers` the process that has the database answers these paths, whoever gets the request.
   A channel runs in the process that its client reached: what only other processes know, it asks
   over the bus.
3. `static/screens/NAME.js` exports `title`, `path` (of the hash `#/path`) and the component
   `Screen`, and stands in the list of `static/screens.js`. `static/session.js` has the socket, the
   API and the hooks `useLive(topic)`, `useChannel(topic, handle)` and `useApi(path)`;
   `static/ui.js` has the shared components (`Page` first), and `static/lists.js` lists that a
   screen asks for again and again (`useList`), with their filters.
4. `tests/integration/console/test_NAME.py`; the browser test opens every screen of the list.

The Content-Security-Policy allows no inline scripts or styles and nothing from elsewhere: write
styles in `static/console.css`. `tests/unit/server/console` measures the sizes and checks the
vendored files. Broadcasts stay inside the console's own endpoint: the channels of apps cannot join
its topics.

Start with `mounting`.
"""
