"""Rules for clients. `rule` explains the sources."""

from __future__ import annotations

from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Level, Rule

MUST, SHOULD, CLIENT = Level.MUST, Level.SHOULD, Side.CLIENT

CLIENT_VSN = Rule(
    "client/vsn",
    MUST,
    CLIENT,
    "socket.ex, negotiate_serializer/3",
    "asked for a `vsn` that Phoenix does not speak; it is refused with 403",
)

CLIENT_UNDECODABLE = Rule(
    "client/undecodable",
    MUST,
    CLIENT,
    "serializers/v2_json_serializer.ex, decode!/2",
    "a frame that Phoenix cannot decode; it closes the connection with 1011",
)

CLIENT_ARRAY_LENGTH = Rule(
    "client/array-length",
    SHOULD,
    CLIENT,
    "serializers/v2_json_serializer.ex, decode!/2",
    "more than five elements; Phoenix ignores the rest, other servers may not",
)

CLIENT_DUPLICATE_REF = Rule(
    "client/duplicate-ref",
    MUST,
    CLIENT,
    "phoenix.js, socket.js makeRef",
    "used a ref twice on one connection; their replies cannot be distinguished",
)

CLIENT_NO_REF = Rule(
    "client/no-ref",
    SHOULD,
    CLIENT,
    "phoenix.js, push.js",
    "a join or a leave without a ref; its reply cannot be matched",
)

CLIENT_NOT_JOINED = Rule(
    "client/not-joined",
    MUST,
    CLIENT,
    "phoenix.js, channel.js canPush",
    'sent an event to a topic that is not joined; it is answered "unmatched topic"',
)

CLIENT_BEFORE_JOIN_REPLY = Rule(
    "client/before-join-reply",
    SHOULD,
    CLIENT,
    "phoenix.js, channel.js pushBuffer",
    "sent an event before the reply to its join; clients should buffer until then",
)

CLIENT_JOIN_REF = Rule(
    "client/join-ref",
    MUST,
    CLIENT,
    "phoenix.js, channel.js joinRef",
    "the join_ref is not that of the join; the message is dropped without a reply",
)

CLIENT_NO_JOIN_REF = Rule(
    "client/no-join-ref",
    SHOULD,
    CLIENT,
    "phoenix.js, channel.js joinRef",
    "a V2 message without join_ref; the server cannot tell whether it belongs to an earlier join",
)

CLIENT_DUPLICATE_JOIN = Rule(
    "client/duplicate-join",
    SHOULD,
    CLIENT,
    "phoenix.js, socket.js leaveOpenTopic",
    "joined a topic that it had already joined; the first channel is closed",
)

CLIENT_LEAVE_NOT_JOINED = Rule(
    "client/leave-not-joined",
    SHOULD,
    CLIENT,
    "phoenix.js, channel.js leave",
    "left a topic that it never joined on this connection",
)

CLIENT_RESERVED_EVENT = Rule(
    "client/reserved-event",
    SHOULD,
    CLIENT,
    "phoenix.js, constants.js CHANNEL_EVENTS",
    "sent an event that is reserved for the server: phx_reply, phx_close or phx_error",
)

CLIENT_SILENT = Rule(
    "client/silent",
    SHOULD,
    CLIENT,
    "transports/websocket.ex, timeout",
    "sent nothing for longer than the idle timeout; the server closes with 1002",
)

CLIENT_AFTER_CLOSE = Rule(
    "client/after-close",
    MUST,
    CLIENT,
    "RFC 6455 §5.5.1",
    "a frame after its own close frame",
)
