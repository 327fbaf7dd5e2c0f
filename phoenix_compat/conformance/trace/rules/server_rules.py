"""What a server must not do, told from what was said before. Sources: see `rules`."""

from __future__ import annotations

from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Level, Rule

MUST, SHOULD, SERVER = Level.MUST, Level.SHOULD, Side.SERVER

# Replies

REPLY_NEVER_ASKED = Rule(
    "reply/never-asked",
    MUST,
    SERVER,
    "socket/message.ex; phoenix.js, channel.js",
    "replied to a ref that the client never sent",
)

REPLY_REF_TYPE = Rule(
    "reply/ref-type",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex, decode!/2",
    'the ref came back as another JSON type; refs are echoed as they came, 1 is not "1"',
)

REPLY_TOPIC = Rule(
    "reply/topic",
    MUST,
    SERVER,
    "channel/server.ex, handle_reply/2",
    "replied to a known ref on another topic",
)

REPLY_TWICE = Rule(
    "reply/twice",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "answered again what is answered exactly once: a heartbeat, a join, a leave, a "
    "message without a channel",
)

REPLY_AGAIN = Rule(
    "reply/again",
    SHOULD,
    SERVER,
    "channel.ex, reply/2",
    "answered a message of a channel a second time; allowed, but clients keep only the first",
)

REPLY_PAYLOAD = Rule(
    "reply/payload",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex, encode!/1",
    "the payload of a reply has exactly `response` and `status`, and the status is a string",
)

REPLY_JOIN_REF = Rule(
    "reply/join-ref",
    MUST,
    SERVER,
    "channel/server.ex, handle_reply/2",
    "a reply carries the join_ref of the join whose channel answers",
)

REPLY_OVERTAKES_JOIN = Rule(
    "reply/overtakes-join",
    MUST,
    SERVER,
    "channel/server.ex, join/4",
    "answered a later message before an earlier join; the socket reads on only when the "
    "join has returned",
)

REPLY_NOT_JOINED = Rule(
    "reply/not-joined",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "answered, as a channel would, a message to a topic that was not joined; it must be "
    '"unmatched topic"',
)

REPLY_STALE = Rule(
    "reply/stale",
    MUST,
    SERVER,
    "socket.ex, handle_in/4 (since 1.8.3)",
    "answered a message whose join_ref is not that of the join; it must be dropped without a word",
)

UNMATCHED_JOINED = Rule(
    "unmatched/joined",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    'said "unmatched topic" of a topic that is joined',
)

UNMATCHED_JOIN_REF = Rule(
    "unmatched/join-ref",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    'the join_ref of an "unmatched topic" reply is null, whatever the client sent',
)

JOIN_REPLY_JOIN_REF = Rule(
    "join/reply-join-ref",
    MUST,
    SERVER,
    "channel/server.ex, join/4",
    'the reply to a join carries the join_ref of that join; null only for "unmatched topic"',
)

LEAVE_REPLY = Rule(
    "leave/reply",
    MUST,
    SERVER,
    "channel/server.ex, handle_info/2",
    "a leave is answered ok with {}",
)

HEARTBEAT_REPLY = Rule(
    "heartbeat/reply",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "a heartbeat is answered on topic phoenix with join_ref null, ok and {}",
)

HEARTBEAT_SKIPPED = Rule(
    "heartbeat/skipped",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "answered a later heartbeat first; heartbeats are answered at once and in order",
)

HEARTBEAT_UNANSWERED = Rule(
    "heartbeat/unanswered",
    MUST,
    SERVER,
    "socket.ex, handle_in/4; phoenix.js, heartbeatTimeout",
    "a heartbeat was not answered in time; clients close and reconnect",
)

JOIN_UNANSWERED = Rule(
    "join/unanswered",
    SHOULD,
    SERVER,
    "phoenix.js, constants.js DEFAULT_TIMEOUT",
    "a join was not answered in time; clients leave and join again",
)

# Pushes and broadcasts

PUSH_NOT_JOINED = Rule(
    "push/not-joined",
    MUST,
    SERVER,
    "channel/server.ex, dispatch/3",
    "an event on a topic that the client has not joined on this connection",
)

PUSH_BEFORE_JOIN_REPLY = Rule(
    "push/before-join-reply",
    MUST,
    SERVER,
    "channel/server.ex, join/4",
    "an event of a channel before the reply to its join; clients drop it",
)

PUSH_JOIN_REF = Rule(
    "push/join-ref",
    MUST,
    SERVER,
    "channel.ex, push/3",
    "the join_ref of a push is that of the join; clients drop what carries another",
)

PUSH_AFTER_CLOSE = Rule(
    "push/after-close",
    SHOULD,
    SERVER,
    "channel/server.ex, terminate/2",
    "an event of a channel that had ended; possible from terminate/2 or by a race, and "
    "clients drop it",
)

PUSH_REF = Rule(
    "push/ref",
    MUST,
    SERVER,
    "socket/message.ex, socket/broadcast.ex",
    "only replies carry a ref; that of a push or broadcast is null",
)

PRESENCE_DIFF_JOIN_REF = Rule(
    "presence/diff-join-ref",
    SHOULD,
    SERVER,
    "presence.ex",
    "presence_diff is a broadcast: join_ref null, unless the channel intercepts it",
)

PRESENCE_DIFF = Rule(
    "presence/diff",
    SHOULD,
    SERVER,
    "presence.ex",
    "presence_diff has exactly the keys joins and leaves, both always there",
)

PRESENCE_METAS = Rule(
    "presence/metas",
    SHOULD,
    SERVER,
    "presence.ex; phoenix.js, presence.js",
    "each presence is an object with a list metas, each meta an object with a phx_ref",
)

# The end of a channel

END_NOT_JOINED = Rule(
    "end/not-joined",
    MUST,
    SERVER,
    "channel/server.ex",
    "phx_close or phx_error of a topic that is not joined: never joined, refused, or already ended",
)

END_REFS = Rule(
    "end/refs",
    MUST,
    SERVER,
    "socket.ex, encode_close/3",
    "join_ref and ref of phx_close and phx_error are both the join_ref of the join (V1: "
    "the ref); clients drop others",
)

END_CLOSE_PAYLOAD = Rule(
    "end/close-payload",
    MUST,
    SERVER,
    "socket.ex, encode_close/3",
    "the payload of phx_close is {}",
)

END_ERROR_PAYLOAD = Rule(
    "end/error-payload",
    MUST,
    SERVER,
    "socket.ex, encode_on_exit/4 (since 1.8.10)",
    'the payload of phx_error is {"reason":"channel_crash"}; the cause is for the log',
)

END_CLOSE_BEFORE_REPLY = Rule(
    "end/close-before-reply",
    SHOULD,
    SERVER,
    "channel/server.ex, handle_info/2",
    "phx_close came before the reply to the leave; only a channel that ended by itself "
    "meanwhile looks like that",
)

END_NO_CLOSE = Rule(
    "end/no-close",
    SHOULD,
    SERVER,
    "channel/server.ex, handle_info/2",
    "a leave was answered, and no phx_close followed",
)

END_CLOSE_BEFORE_JOIN_REPLY = Rule(
    "end/close-before-join-reply",
    SHOULD,
    SERVER,
    "socket.ex, handle_in/4",
    "phx_close of a join came before the reply to the join that replaces it; only a "
    "channel that ended by itself meanwhile looks like that",
)
