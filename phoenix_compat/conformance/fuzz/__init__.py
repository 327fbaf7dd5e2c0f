"""Plays random conversations against two servers, and shows the smallest one in which they differ.

    script.py     a conversation as values and as JSON: clients, and steps that are played in order
    queries.py    random query strings, requests and JSON
    payloads.py   random payloads for each event, and posts to /broadcast
    generate.py   random conversations from a seed
    mutate.py     small random changes of a text
    peers.py      one client of a conversation: a websocket, or a long-poll session
    play.py       plays a conversation against one server, and returns the answers to each step
    normalize.py  what of an answer is compared, and what is not
    shrink.py     removes from a conversation whatever the difference does not need
    run.py        many conversations against two servers
    report.py     the differences as text and as JSON

Both servers host the reference channel set (docs/conformance.md). Start with `run`; the command is
`phoenix-compat conformance fuzz`.
"""
