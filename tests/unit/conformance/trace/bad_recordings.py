"""Lists a minimal bad recording for each rule; `!` marks the frame that breaks it."""

from __future__ import annotations

V2 = "open vsn=2.0.0\n"
V1 = "open vsn=1.0.0\n"
JOIN = """
→ ["1","1","room:a","phx_join",{}]
← ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
"""
JOINED = V2 + JOIN
JOINED_V1 = (
    V1
    + """
→ {"topic":"room:a","event":"phx_join","payload":{},"ref":"1"}
← {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"1","topic":"room:a"}
"""
)
LEFT = (
    JOINED
    + """
→ ["1","2","room:a","phx_leave",{}]
← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]
← ["1","1","room:a","phx_close",{}]
"""
)
REJOINED = (
    JOINED
    + """
→ ["1","5","room:a","phx_leave",{}]
→ ["6","6","room:a","phx_join",{}]
← ["1","5","room:a","phx_reply",{"response":{},"status":"ok"}]
← ["1","1","room:a","phx_close",{}]
← ["6","6","room:a","phx_reply",{"response":{},"status":"ok"}]
"""
)
REFUSED = (
    V2
    + """
→ ["1","1","room:a","phx_join",{}]
← ["1","1","room:a","phx_reply",{"response":{"reason":"no"},"status":"error"}]
"""
)

HANDSHAKE = {
    "open/vsn-accepted": "! open vsn=2.1.0",
    "open/protocol-not-offered": "! open vsn=2.0.0 offered=phoenix chosen=graphql",
    "open/refused-yet-used": "open 403 vsn=2.0.0\n"
    '! ← [null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "client/vsn": "! open 403 vsn=2",
}

SHAPE = {
    "shape/not-json": JOINED + '! ← ["1",null,"room:a","msg",{"a":NaN}]',
    "shape/other-version": JOINED + '! ← {"event":"msg","payload":{},"ref":null,"topic":"room:a"}',
    "shape/array-length": JOINED + '! ← ["1",null,"room:a","msg",{},"more"]',
    "shape/v1-keys": JOINED_V1
    + '! ← {"event":"msg","join_ref":"1","payload":{},"ref":null,"topic":"room:a"}',
    "shape/names": JOINED + '! ← ["1",null,"room:a",null,{}]',
    "shape/not-compact": JOINED + '! ← ["1", null, "room:a", "msg", {}]',
    "shape/escaped": JOINED + '! ← ["1",null,"room:a","msg",{"a":"\\u00e9"}]',
    "payload/not-an-object": JOINED + '! ← ["1",null,"room:a","msg",[1]]',
    "binary/on-v1": JOINED_V1 + "! ← b64 AgYBcm9vbTphYgECAw==",
    # the text of ["1",null,"room:a","msg",{}]
    "binary/json": JOINED + "! ← b64 WyIxIixudWxsLCJyb29tOmEiLCJtc2ciLHt9XQ==",
    "binary/kind": JOINED + "! ← b64 BAABAA==",
    # a push with four sizes, as clients send it
    "binary/sizes": JOINED + "! ← b64 AAEAEv8xcm9vbTphcGI=",
    # topic b"\xff"
    "binary/utf8": JOINED + "! ← b64 AgEB/2I=",
}

REPLIES = {
    "reply/never-asked": JOINED
    + '! ← ["1","7","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/ref-type": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '! ← ["1",2,"room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/topic": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '! ← ["1","2","room:b","phx_reply",{"response":{},"status":"ok"}]',
    "reply/twice": JOINED + '! ← ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/again": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]\n'
    + '! ← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/payload": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '! ← ["1","2","room:a","phx_reply",{"status":"ok"}]',
    "reply/join-ref": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '! ← [null,"2","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/overtakes-join": V2
    + '→ ["1","1","room:a","phx_join",{}]\n'
    + '→ [null,"2","phoenix","heartbeat",{}]\n'
    + '! ← [null,"2","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "reply/not-joined": LEFT
    + '! → ["1","3","room:a","echo",{}]\n'
    + '! ← ["1","3","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "reply/stale": REJOINED
    + '! → ["1","7","room:a","echo",{}]\n'
    + '! ← ["6","7","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "unmatched/joined": JOINED
    + '→ ["1","2","room:a","echo",{}]\n'
    + '! ← [null,"2","room:a","phx_reply",'
    + '{"response":{"reason":"unmatched topic"},"status":"error"}]',
    "unmatched/join-ref": LEFT
    + '! → ["1","3","room:a","echo",{}]\n'
    + '! ← ["9","3","room:a","phx_reply",'
    + '{"response":{"reason":"unmatched topic"},"status":"error"}]',
    "join/reply-join-ref": V2
    + '→ ["1","1","room:a","phx_join",{}]\n'
    + '! ← [null,"1","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "leave/reply": JOINED
    + '→ ["1","2","room:a","phx_leave",{}]\n'
    + '! ← ["1","2","room:a","phx_reply",{"response":{"left":true},"status":"ok"}]\n'
    + '← ["1","1","room:a","phx_close",{}]',
    "heartbeat/reply": V2
    + '→ ["9","2","phoenix","heartbeat",{}]\n'
    + '! ← ["9","2","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "heartbeat/skipped": V2
    + '→ [null,"2","phoenix","heartbeat",{}]\n'
    + '→ [null,"3","phoenix","heartbeat",{}]\n'
    + '! ← [null,"3","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "heartbeat/unanswered": V2 + '! @1 → [null,"2","phoenix","heartbeat",{}]\n' + "@32 → ping x",
    "join/unanswered": V2 + '! @1 → ["1","1","room:a","phx_join",{}]\n@12 → ping x',
}

PUSHES = {
    "push/not-joined": JOINED + '! ← [null,null,"room:b","msg",{}]',
    "push/before-join-reply": V2
    + '→ ["1","1","room:a","phx_join",{}]\n! ← ["1",null,"room:a","msg",{}]',
    "push/join-ref": JOINED + '! ← ["2",null,"room:a","msg",{}]',
    "push/after-close": LEFT + '! ← ["1",null,"room:a","msg",{}]',
    "push/ref": JOINED + '! ← ["1","2","room:a","msg",{}]',
    "presence/diff-join-ref": JOINED
    + '! ← ["1",null,"room:a","presence_diff",{"joins":{},"leaves":{}}]',
    "presence/diff": JOINED + '! ← [null,null,"room:a","presence_diff",{"joins":{}}]',
    "presence/metas": JOINED + '! ← ["1",null,"room:a","presence_state",{"ann":{"metas":[{}]}}]',
    "end/not-joined": REFUSED + '! ← ["1","1","room:a","phx_close",{}]',
    "end/refs": JOINED + '! ← ["1",null,"room:a","phx_close",{}]',
    "end/close-payload": JOINED + '! ← ["1","1","room:a","phx_close",{"reason":"normal"}]',
    "end/error-payload": JOINED + '! ← ["1","1","room:a","phx_error",{}]',
    "end/close-before-reply": JOINED
    + '→ ["1","2","room:a","phx_leave",{}]\n'
    + '! ← ["1","1","room:a","phx_close",{}]\n'
    + '← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "end/no-close": JOINED
    + '→ ["1","2","room:a","phx_leave",{}]\n'
    + '! ← ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]',
    "end/close-before-join-reply": JOINED
    + '! → ["2","2","room:a","phx_join",{}]\n'
    + '! ← ["1","1","room:a","phx_close",{}]\n'
    + '← ["2","2","room:a","phx_reply",{"response":{},"status":"ok"}]',
}

WEBSOCKET = {
    "socket/server-ping": V2 + "! ← ping x",
    "socket/pong": V2 + "→ ping x\n← pong x\n! ← pong x",
    "socket/after-close": JOINED + '← close 1001\n! ← ["1",null,"room:a","msg",{}]',
    "socket/survived": V2
    + "! → {not json\n"
    + '→ [null,"2","phoenix","heartbeat",{}]\n'
    + '! ← [null,"2","phoenix","phx_reply",{"response":{},"status":"ok"}]',
    "socket/undecodable-code": V2 + "! → {not json\n! ← close 1002",
    "socket/code": JOINED + "! ← close 1008",
    "socket/normal-close": JOINED + "! ← close 1000",
    "socket/reason": JOINED + "! ← close 1001 bye",
    "socket/announced": JOINED + '← ["1","1","room:a","phx_close",{}]\n! ← close 1012',
}

CLIENT = {
    "client/undecodable": V2 + '! → ["1","1","room:a","phx_join"]',
    "client/array-length": V2 + '! → ["1","1","room:a","phx_join",{},"more"]',
    "client/duplicate-ref": JOINED + '! → ["1","1","room:a","echo",{}]',
    "client/no-ref": V2 + '! → ["1",null,"room:a","phx_join",{}]',
    "client/not-joined": V2 + '! → ["1","1","room:a","echo",{}]',
    "client/before-join-reply": V2
    + '→ ["1","1","room:a","phx_join",{}]\n! → ["1","2","room:a","echo",{}]',
    "client/join-ref": JOINED + '! → ["9","2","room:a","echo",{}]',
    "client/no-join-ref": JOINED + '! → [null,"2","room:a","echo",{}]',
    "client/duplicate-join": JOINED + '! → ["2","2","room:a","phx_join",{}]',
    "client/leave-not-joined": V2 + '! → ["1","1","room:a","phx_leave",{}]',
    "client/reserved-event": JOINED + '! → ["1","2","room:a","phx_close",{}]',
    "client/silent": JOINED.replace("→", "! @1 →", 1) + "@62 ← close 1002",
    "client/after-close": V2 + '→ close 1000\n! → ["1","1","room:a","phx_join",{}]',
}

BAD_RECORDINGS = {**HANDSHAKE, **SHAPE, **REPLIES, **PUSHES, **WEBSOCKET, **CLIENT}

# If a server breaks a rule because the client did, the client's violation is found too.
ALSO_BROKEN = {
    "open/vsn-accepted": {"client/vsn"},
    "reply/not-joined": {"client/not-joined"},
    "reply/stale": {"client/join-ref"},
    "unmatched/join-ref": {"client/not-joined"},
    "end/close-before-join-reply": {"client/duplicate-join"},
    "socket/survived": {"client/undecodable"},
    "socket/undecodable-code": {"client/undecodable"},
}
