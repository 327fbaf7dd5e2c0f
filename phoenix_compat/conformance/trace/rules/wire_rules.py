"""Rules for servers about a single frame or handshake. `rule` explains the sources."""

from __future__ import annotations

from phoenix_compat.conformance.trace.recording.frames import Side
from phoenix_compat.conformance.trace.rules.rule import Level, Rule

MUST, SHOULD, SERVER = Level.MUST, Level.SHOULD, Side.SERVER

# The handshake

OPEN_VSN_ACCEPTED = Rule(
    "open/vsn-accepted",
    MUST,
    SERVER,
    "socket.ex, negotiate_serializer/3",
    "accepted a `vsn` that Phoenix refuses with 403; only 1.0.x and 2.0.x are supported, as "
    "MAJOR.MINOR.PATCH",
)

OPEN_PROTOCOL_NOT_OFFERED = Rule(
    "open/protocol-not-offered",
    MUST,
    SERVER,
    "socket/transport.ex, check_subprotocols/2; RFC 6455 §4.2.2",
    "selected a subprotocol that the client did not offer; browsers close the connection",
)

OPEN_REFUSED_YET_USED = Rule(
    "open/refused-yet-used",
    MUST,
    SERVER,
    "transports/websocket.ex, call/2",
    "sent a frame on a connection whose handshake it had refused",
)

# The shape of frames

SHAPE_NOT_JSON = Rule(
    "shape/not-json",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex",
    "a text frame that is not strict JSON: no NaN, no lone surrogates, nothing after the value",
)

SHAPE_OTHER_VERSION = Rule(
    "shape/other-version",
    MUST,
    SERVER,
    "socket.ex, negotiate_serializer/3",
    "a frame in the format of the other version: V2 clients get arrays, V1 clients (`vsn` "
    "1.0.x or none) get objects",
)

SHAPE_ARRAY_LENGTH = Rule(
    "shape/array-length",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex, encode!/1",
    "a V2 frame must have exactly five elements; several clients refuse any other number",
)

SHAPE_V1_KEYS = Rule(
    "shape/v1-keys",
    MUST,
    SERVER,
    "serializers/v1_json_serializer.ex, encode!/1",
    "a V1 frame must have exactly the keys event, payload, ref and topic, in any order; a "
    "join_ref breaks clients",
)

SHAPE_NAMES = Rule(
    "shape/names",
    MUST,
    SERVER,
    "socket/message.ex",
    "topic and event of a frame must be strings",
)

SHAPE_NOT_COMPACT = Rule(
    "shape/not-compact",
    MUST,
    SERVER,
    "jason 1.4.5, lib/encoder.ex; JavaPhoenixClient, Defaults.kt",
    "whitespace between the tokens of a frame; JavaPhoenixClient parses by position and never "
    "sees its reply",
)

SHAPE_ESCAPED = Rule(
    "shape/escaped",
    SHOULD,
    SERVER,
    "jason 1.4.5, lib/encoder.ex",
    "\\u escapes for characters that Phoenix writes as UTF-8; the value is equal, but clients "
    "that parse by position fail",
)

PAYLOAD_NOT_AN_OBJECT = Rule(
    "payload/not-an-object",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex, encode!/1",
    "the payload of a V2 push or broadcast must be an object; clients drop or crash on others",
)

# Binary frames

BINARY_ON_V1 = Rule(
    "binary/on-v1",
    MUST,
    SERVER,
    "serializers/v1_json_serializer.ex",
    "V1 has no binary frames",
)

BINARY_JSON = Rule(
    "binary/json",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex",
    "JSON in a binary frame; clients decode it as the binary format, or ignore it",
)

BINARY_KIND = Rule(
    "binary/kind",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex",
    "a binary frame must be a push (0), a reply (1) or a broadcast (2)",
)

BINARY_SIZES = Rule(
    "binary/sizes",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex",
    "shorter than its sizes say; a push of a server has three sizes and no ref, a reply has "
    "four, a broadcast two",
)

BINARY_UTF8 = Rule(
    "binary/utf8",
    MUST,
    SERVER,
    "serializers/v2_json_serializer.ex",
    "a string in a binary header is not UTF-8",
)

# The websocket

SOCKET_SERVER_PING = Rule(
    "socket/server-ping",
    SHOULD,
    SERVER,
    "transports/websocket.ex",
    "Phoenix sends no pings",
)

SOCKET_PONG = Rule(
    "socket/pong",
    MUST,
    SERVER,
    "RFC 6455 §5.5.3",
    "a pong without a ping of the client",
)

SOCKET_AFTER_CLOSE = Rule(
    "socket/after-close",
    MUST,
    SERVER,
    "RFC 6455 §5.5.1",
    "a frame after its own close frame",
)

SOCKET_SURVIVED = Rule(
    "socket/survived",
    MUST,
    SERVER,
    "socket.ex, __in__/2",
    "continued after a frame that cannot be decoded; Phoenix closes with 1011",
)

SOCKET_UNDECODABLE_CODE = Rule(
    "socket/undecodable-code",
    SHOULD,
    SERVER,
    "socket.ex, __in__/2",
    "closed after a frame that cannot be decoded with a code other than 1011",
)

SOCKET_CODE = Rule(
    "socket/code",
    SHOULD,
    SERVER,
    "transports/websocket.ex; bandit 1.12.5",
    "a close code that Phoenix does not use; it uses 1000, 1001, 1002, 1007, 1009, 1011 and 1012",
)

SOCKET_NORMAL_CLOSE = Rule(
    "socket/normal-close",
    SHOULD,
    SERVER,
    "phoenix.js, socket.js onConnClose",
    "closed with 1000 on its own initiative; phoenix.js 1.6.3 to 1.8.15 does not reconnect then",
)

SOCKET_REASON = Rule(
    "socket/reason",
    SHOULD,
    SERVER,
    "transports/websocket.ex",
    "Phoenix sends no reason text with a close",
)

SOCKET_ANNOUNCED = Rule(
    "socket/announced",
    SHOULD,
    SERVER,
    "socket.ex, __info__/2",
    "sent phx_close or phx_error for every channel just before it closed the socket; a "
    "disconnect or restart sends only the close frame",
)
