"""Rules for servers that depend on earlier frames. `rule` explains the sources."""

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
    'the ref has another JSON type than in the request; refs are echoed unchanged, 1 is not "1"',
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
    "a second reply to a message that gets exactly one: a heartbeat, a join, a leave, or "
    "a message without a channel",
)

REPLY_AGAIN = Rule(
    "reply/again",
    SHOULD,
    SERVER,
    "channel.ex, reply/2",
    "a second reply to a message of a channel; allowed, but clients use only the first",
)

REPLY_PAYLOAD = Rule(
    "reply/payload",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex, encode!/1",
    "the payload of a reply must have exactly `response` and `status`, and the status is a string",
)

REPLY_JOIN_REF = Rule(
    "reply/join-ref",
    MUST,
    SERVER,
    "channel/server.ex, handle_reply/2",
    "a reply must carry the join_ref of the channel that answers",
)

REPLY_OVERTAKES_JOIN = Rule(
    "reply/overtakes-join",
    MUST,
    SERVER,
    "channel/server.ex, join/4",
    "answered a later message before an earlier join; the socket reads the next message only "
    "after the join has returned",
)

REPLY_NOT_JOINED = Rule(
    "reply/not-joined",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "a reply as from a channel to a message on a topic that was not joined; it must be "
    '"unmatched topic"',
)

REPLY_STALE = Rule(
    "reply/stale",
    MUST,
    SERVER,
    "socket.ex, handle_in/4 (since 1.8.3)",
    "answered a message whose join_ref is not that of the join; it must be dropped silently",
)

UNMATCHED_JOINED = Rule(
    "unmatched/joined",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    'answered "unmatched topic" for a topic that is joined',
)

UNMATCHED_JOIN_REF = Rule(
    "unmatched/join-ref",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    'the join_ref of an "unmatched topic" reply must be null, whatever the client sent',
)

JOIN_REPLY_JOIN_REF = Rule(
    "join/reply-join-ref",
    MUST,
    SERVER,
    "channel/server.ex, join/4",
    'the reply to a join must carry its join_ref; only for "unmatched topic" it is null',
)

LEAVE_REPLY = Rule(
    "leave/reply",
    MUST,
    SERVER,
    "channel/server.ex, handle_info/2",
    "a leave must be answered with ok and {}",
)

HEARTBEAT_REPLY = Rule(
    "heartbeat/reply",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "a heartbeat must be answered on topic phoenix with join_ref null, ok and {}",
)

HEARTBEAT_SKIPPED = Rule(
    "heartbeat/skipped",
    MUST,
    SERVER,
    "socket.ex, handle_in/4",
    "answered a later heartbeat first; heartbeats must be answered at once and in order",
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
    "an event on a topic that is not joined on this connection",
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
    "the join_ref of a push must be that of the join; clients drop pushes with another one",
)

PUSH_AFTER_CLOSE = Rule(
    "push/after-close",
    SHOULD,
    SERVER,
    "channel/server.ex, terminate/2",
    "an event of a channel that has ended; terminate/2 or a race can cause it, and clients drop it",
)

PUSH_REF = Rule(
    "push/ref",
    MUST,
    SERVER,
    "socket/message.ex, socket/broadcast.ex",
    "only replies carry a ref; the ref of a push or broadcast must be null",
)

PRESENCE_DIFF_JOIN_REF = Rule(
    "presence/diff-join-ref",
    SHOULD,
    SERVER,
    "presence.ex",
    "presence_diff is a broadcast with join_ref null, unless the channel intercepts it",
)

PRESENCE_DIFF = Rule(
    "presence/diff",
    SHOULD,
    SERVER,
    "presence.ex",
    "presence_diff must have exactly the keys joins and leaves, even if they are empty",
)

PRESENCE_METAS = Rule(
    "presence/metas",
    SHOULD,
    SERVER,
    "presence.ex; phoenix.js, presence.js",
    "each presence must be an object with a list `metas`, each meta an object with a phx_ref",
)

# The end of a channel

END_NOT_JOINED = Rule(
    "end/not-joined",
    MUST,
    SERVER,
    "channel/server.ex",
    "phx_close or phx_error on a topic that was never joined, was refused or has already ended",
)

END_REFS = Rule(
    "end/refs",
    MUST,
    SERVER,
    "socket.ex, encode_close/3",
    "join_ref and ref of phx_close and phx_error must both be the join_ref of the join (V1: "
    "the ref); clients drop others",
)

END_CLOSE_PAYLOAD = Rule(
    "end/close-payload",
    MUST,
    SERVER,
    "socket.ex, encode_close/3",
    "the payload of phx_close must be {}",
)

END_ERROR_PAYLOAD = Rule(
    "end/error-payload",
    MUST,
    SERVER,
    "socket.ex, encode_on_exit/4 (since 1.8.10)",
    'the payload of phx_error must be {"reason":"channel_crash"}; only the log has the cause',
)

END_CLOSE_BEFORE_REPLY = Rule(
    "end/close-before-reply",
    SHOULD,
    SERVER,
    "channel/server.ex, handle_info/2",
    "phx_close came before the reply to the leave; correct only if the channel ended by "
    "itself at that moment",
)

END_NO_CLOSE = Rule(
    "end/no-close",
    SHOULD,
    SERVER,
    "channel/server.ex, handle_info/2",
    "a leave was answered, but no phx_close followed",
)

END_CLOSE_BEFORE_JOIN_REPLY = Rule(
    "end/close-before-join-reply",
    SHOULD,
    SERVER,
    "socket.ex, handle_in/4",
    "phx_close of a join came before the reply to the join that replaces it; correct only if "
    "the channel ended by itself at that moment",
)
