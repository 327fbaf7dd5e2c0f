"""Makes random conversations. The same seed and number give the same one.

It avoids what has no defined order in Phoenix: what follows the end of a channel within one burst.
It also avoids what docs/from-phoenix.md lists as different: broadcasts that some of the clients'
serializers cannot encode.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, Literal, TypeAlias, get_args

from phoenix_compat.conformance.fuzz.payloads import (
    payload_for,
    random_broadcast,
    user_payload,
    valid_bytes,
)
from phoenix_compat.conformance.fuzz.queries import (
    random_auth,
    random_json,
    random_query,
    random_request,
    random_text,
    sendable,
)
from phoenix_compat.conformance.fuzz.script import (
    Client,
    Script,
    Send,
    SendBinary,
    SendFrame,
    Step,
)

ROOM = "room:$ID"
OTHER_ROOM = "room:$ID:2"
PRESENCE = "presence:$ID"
TASK = "task:$ID"
Kind: TypeAlias = Literal["messages", "queries", "requests"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_KIND_WEIGHTS: Final = (0.6, 0.15, 0.25)

_TOPICS = (ROOM, ROOM, ROOM, OTHER_ROOM, PRESENCE)
_JOINED_TOPICS = (ROOM, OTHER_ROOM, PRESENCE, PRESENCE, TASK)
_STRANGE_TOPICS = (TASK, "task:missing", "task:crash", "phoenix", "room", "", "nothing:$ID")
_HARMLESS = ("echo", "echo", "echo_error", "reply_ok", "noreply", "whoami")
_BINARY = ("reply_binary", "push_binary")
_LOUD = ("push", "broadcast", "broadcast", "broadcast_from")
_OF_PRESENCE = ("update", "update", "update", "list", "echo")
_ENDING = (
    *("stop", "stop_shutdown", "stop_error", "stop_reply"),
    *("crash", "bin", "no_handler", "phx_error"),
)
_VERSIONS = (*("vsn=2.0.0",) * 9, *("vsn=1.0.0",) * 2, "")
_MOUNTS = ("/extra", "/socket", "/slow")
_PARAMS = (  # no user of another play: `disconnect_me` would end its connections
    "user=$ID",
    "user=$ID",
    "user=$ID",
    "user[]=$ID",
    "user[a]=$ID",
    "user=a&user=$ID",
    "token=x",
    "token[]=deny",
    "token=deny",
    "token=reject",
)
_VERSIONS_OF_V2 = ("2.0.7", "2.0.1-01", "2.0.0-rc.1", "2.0", "2.0.0%2Bb1", "2.1.0")
BINARY_TOPICS = {ROOM: "$IDROOM", PRESENCE: "$IDPRESENCE", "phoenix": "phoenix"}
"""How a topic stands in a binary message: `Player` puts the name of the play there."""

_REFS: tuple[Any, ...] = (None, 1, 1.0, False, True, "", "x", [97], 10**20)


class _Writer:
    """Writes the messages of one client, and remembers what it has joined.

    Args:
        is_alone: whether no client speaks another version.
    """

    def __init__(self, rng: Random, client: Client, *, is_alone: bool) -> None:
        self.client = client
        self.is_alone = is_alone
        self.joins: dict[str, Any] = {}
        self._rng = rng
        self._refs = 0

    def ref(self) -> str:
        self._refs += 1
        return str(self._refs)

    def text(self, join_ref: Any, ref: Any, topic: str, event: str, payload: Any) -> str:
        if not self.client.is_v1:
            return self._spelled([join_ref, ref, topic, event, payload])
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        return self._spelled(message if join_ref is None else {**message, "join_ref": join_ref})

    def _spelled(self, message: Any) -> str:
        """The message as JSON; now and then with spaces and newlines, and without `é`."""
        if self._rng.random() < 0.97:
            return _compact(message)
        return json.dumps(message, indent=1)

    def join(self, topic: str) -> str:
        rng, ref = self._rng, self.ref()
        join_ref: Any = ref if rng.random() < 0.9 else rng.choice(_REFS)
        if self.client.is_v1 and rng.random() < 0.7:
            join_ref = None
        self.joins[topic] = join_ref
        payload = user_payload(rng) if topic == PRESENCE else payload_for(rng, "phx_join")
        return self.text(join_ref, ref, topic, "phx_join", payload)

    def event(self, topic: str, event: str, payload: Any) -> str:
        rng = self._rng
        join_ref = self.joins.get(topic)
        if rng.random() < 0.1:
            join_ref = rng.choice(("0", *_REFS))
        ref: Any = self.ref() if rng.random() < 0.9 else rng.choice(_REFS)
        return self.text(join_ref, ref, topic, event, payload)


def random_script(seed: int, number: int, kind: Kind | None = None) -> Script:
    """One conversation of that kind, or of a random one."""
    rng = Random(f"{seed}:{number}")  # noqa: S311 - not for secrets
    match kind or rng.choices(KINDS, _KIND_WEIGHTS)[0]:
        case "requests":
            is_broadcast = rng.random() < 0.15
            return Script(steps=(random_broadcast(rng) if is_broadcast else random_request(rng),))
        case "queries":
            return _query_script(rng)
        case _:
            return _talk(rng)


def _query_script(rng: Random) -> Script:
    """Connect with a query, and ask for what the server understood."""
    version = rng.choice(_VERSIONS_OF_V2) if rng.random() < 0.15 else "2.0.0"
    query = sendable("&".join(part for part in (f"vsn={version}", random_query(rng)) if part))
    mount, transport = _transport(rng)
    client = Client("a", f"{mount}/{transport}?{query}", random_auth(rng, transport))
    texts = (
        _compact(["1", "1", ROOM, "phx_join", {}]),
        _compact(["1", "2", ROOM, "whoami", {}]),
    )
    return Script((client,), tuple(Send("a", (text,)) for text in texts), (ROOM,))


def _talk(rng: Random) -> Script:
    names = "abc"[: rng.choice((1, 1, 2, 2, 3))]
    clients = tuple(_random_client(rng, name, is_only=names == "a") for name in names)
    is_alone = len({client.is_v1 for client in clients}) == 1
    writers = [_Writer(rng, client, is_alone=is_alone) for client in clients]
    steps: list[Step] = [Send(writer.client.name, (writer.join(ROOM),)) for writer in writers]
    steps += [
        Send(writer.client.name, (writer.join(PRESENCE),))
        for writer in writers
        if rng.random() < 0.3
    ]
    kinds: list[tuple[int, Callable[[Random, _Writer], Step | tuple[Step, ...]]]] = [
        (12, _event),
        (4, _burst),
        (3, _join),
        (2, _leave),
        (2, _end),
        (2, _heartbeat),
        (3, _binary),
        (2, _strange),
        (3, _spoilt),
        (1, _frame),
        (1, _fragments),
        (1, _fragmented),
        (1, _disconnect),
        (2, _post),
    ]
    weights = [weight for weight, _kind in kinds]
    for _step in range(rng.randint(1, 8)):
        (_weight, kind) = rng.choices(kinds, weights)[0]
        written = kind(rng, rng.choice(writers))
        steps += written if isinstance(written, tuple) else (written,)
    return Script(clients, tuple(steps), (ROOM, OTHER_ROOM, PRESENCE))


def _transport(rng: Random) -> tuple[str, str]:
    """A mount and a transport that it has."""
    mount = rng.choice(_MOUNTS)
    return mount, "websocket" if mount == "/slow" else rng.choice(("websocket", "longpoll"))


def _random_client(rng: Random, name: str, *, is_only: bool) -> Client:
    """A client that connects, mostly.

    Long-polling is at `/extra`, where an undecodable message is answered after 1 s and not 10 s.
    A client at `/slow` has no others, while which it would wait idle.
    """
    mount, transport = "/extra", "longpoll"
    if rng.random() < 0.75:
        transport = "websocket"
        mount = rng.choice(_MOUNTS if is_only else ("/extra", "/socket"))
    query = [rng.choice(_VERSIONS)]
    if rng.random() < 0.35:
        query.append(rng.choice(_PARAMS))
    headers = random_auth(rng, transport) if mount == "/extra" else ()
    return Client(name, f"{mount}/{transport}?{'&'.join(filter(None, query))}", headers)


def _event(rng: Random, writer: _Writer) -> Step:
    topic = rng.choice(_TOPICS)
    event = rng.choice(_OF_PRESENCE if topic == PRESENCE else _HARMLESS + _LOUD + _BINARY)
    payload = payload_for(rng, event)
    if event.startswith("broadcast") and not writer.is_alone and not isinstance(payload, dict):
        payload = {}
    return Send(writer.client.name, (writer.event(topic, event, payload),))


def _burst(rng: Random, writer: _Writer) -> Step:
    """Several events at once, of which none ends a channel."""
    texts = []
    for _text in range(rng.randint(2, 6)):
        can_be_binary = not (writer.client.is_v1 or writer.client.is_long_poll)
        event = rng.choice(_HARMLESS + _LOUD + (_BINARY if can_be_binary else ()))
        payload = valid_bytes(rng) if event in _BINARY else payload_for(rng, event)
        if event in _LOUD and not isinstance(payload, dict):
            payload = {}
        texts.append(writer.event(rng.choice((ROOM, OTHER_ROOM)), event, payload))
    return Send(writer.client.name, tuple(texts))


def _join(rng: Random, writer: _Writer) -> Step:
    return Send(writer.client.name, (writer.join(rng.choice(_JOINED_TOPICS)),))


def _leave(rng: Random, writer: _Writer) -> Step:
    topic = rng.choice(_TOPICS)
    return Send(writer.client.name, (writer.event(topic, "phx_leave", random_json(rng)),))


def _end(rng: Random, writer: _Writer) -> Step:
    topic, event = rng.choice((ROOM, OTHER_ROOM)), rng.choice(_ENDING)
    return Send(writer.client.name, (writer.event(topic, event, payload_for(rng, event)),))


def _heartbeat(rng: Random, writer: _Writer) -> Step:
    return Send(
        writer.client.name,
        (writer.event("phoenix", "heartbeat", random_json(rng)),),
    )


def _strange(rng: Random, writer: _Writer) -> Step:
    """A topic that is special, or has no channel."""
    topic = rng.choice(_STRANGE_TOPICS)
    if rng.random() < 0.5:
        return Send(writer.client.name, (writer.join(topic),))
    event = rng.choice(("phx_leave", "echo", "update", "heartbeat", "phx_close"))
    return Send(writer.client.name, (writer.event(topic, event, {}),))


def _binary(rng: Random, writer: _Writer) -> Step:
    if writer.client.is_v1:
        return _event(rng, writer)
    topic = rng.choice((ROOM, ROOM, ROOM, ROOM, PRESENCE, "phoenix"))
    event = rng.choice(_binary_events(writer, topic))
    ref = writer.ref()
    join_ref = writer.joins.get(topic)
    join_ref = (
        join_ref if isinstance(join_ref, str) and rng.random() < 0.9 else rng.choice(("0", ""))
    )
    if event == "phx_join":
        writer.joins[topic] = join_ref = ref
    parts = [part.encode() for part in (join_ref, ref, BINARY_TOPICS[topic], event)]
    data = bytes((0, *(len(part) for part in parts))) + b"".join(parts)
    data += bytes(rng.randrange(256) for _byte in range(rng.choice((0, 1, 7))))
    if rng.random() < 0.1:
        data = data[: rng.randrange(6)]
    return SendBinary(writer.client.name, base64.b64encode(data).decode())


def _binary_events(writer: _Writer, topic: str) -> Sequence[str]:
    if topic == "phoenix":
        return ("heartbeat",)
    if topic == PRESENCE:
        return ("update", "list", "phx_join", "phx_leave")
    usual = ("bin", "bin", "bin", "push", *_HARMLESS, *_BINARY, *(_LOUD if writer.is_alone else ()))
    return (*usual, *_ENDING, "phx_join", "phx_leave", "disconnect_me")


def _post(rng: Random, _writer: _Writer) -> Step:
    return random_broadcast(rng)


def _spoilt(rng: Random, writer: _Writer) -> Step:
    return Send(writer.client.name, (random_text(rng),))


def _frame(rng: Random, writer: _Writer) -> Step:
    """A single frame that often violates RFC 6455; long-polling has none.

    Left out is where this server differs from Phoenix on purpose: RSV1 in a fragment, which Bandit
    reports when the message is complete, and fragments without data.
    """
    if writer.client.is_long_poll:
        return _heartbeat(rng, writer)
    data = rng.choice((b"", b"\xff", b"x", b"\x03", b"\x03\xe8", b"\x03\xe8\xff", b"\x03\xecbye"))
    is_final = rng.random() < 0.85 or not data
    return SendFrame(
        writer.client.name,
        opcode=rng.choice((0, 1, 2, 3, 8, 8, 8, 9, 9, 10, 11)),
        data=base64.b64encode(data).decode(),
        is_final=is_final,
        rsv=rng.choice((0, 0, 0, 0, 1, 4 if is_final else 0)),
        is_masked=rng.random() < 0.95,
    )


def _fragments(rng: Random, writer: _Writer) -> Step:
    """The rest of a message, or one that goes on; fragments need not fit together."""
    if writer.client.is_long_poll:
        return _heartbeat(rng, writer)
    text = writer.event("phoenix", "heartbeat", {}).encode()
    half = text[: len(text) // 2] if rng.random() < 0.5 else text[len(text) // 2 :]
    return SendFrame(
        writer.client.name,
        opcode=rng.choice((0, 1)),
        data=base64.b64encode(half).decode(),
        is_final=rng.random() < 0.5,
    )


def _fragmented(rng: Random, writer: _Writer) -> tuple[Step, ...]:
    """A message in two fragments, mostly with a ping or a pong between them."""
    if writer.client.is_long_poll:
        return (_heartbeat(rng, writer),)
    text = writer.event("phoenix", "heartbeat", {"a": "é☃"}).encode()
    at = rng.randrange(1, len(text))  # it may be within a character
    first, rest = text[:at], text[at:]
    between = rng.choice((None, (9, b"x"), (9, b""), (10, b"x")))
    frames = [(1, first, False), (0, rest, True)]
    if between is not None:
        frames.insert(1, (*between, True))
    name = writer.client.name
    return tuple(
        SendFrame(name, opcode, base64.b64encode(data).decode(), is_final)
        for opcode, data, is_final in frames
    )


def _disconnect(rng: Random, writer: _Writer) -> Step:
    """End the connections of a user, if the client is one."""
    return Send(writer.client.name, (writer.event(ROOM, "disconnect_me", random_json(rng)),))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
