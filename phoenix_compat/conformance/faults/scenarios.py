"""What a client is put through: for each scenario a topic, and the rule that judges.

The author writes one small program above the client (`APP` says what it does) and runs it once for
each scenario, with the scenario's URL and topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from phoenix_compat.conformance.faults import channel_rules, connection_rules
from phoenix_compat.conformance.faults.record_view import Rule

APP: Final = (
    "Connect to the scenario's URL, join its topic, and let the client reconnect and rejoin.",
    "After each successful join push `echo` with any payload.",
    'On the event `ask` push `heard` with its payload, or with {"bytes": N} when it is binary.',
    'When `echo` is answered push `heard` with {"reply": the response}.',
    'When `echo` times out push `heard` with {"timeout": true}.',
    "When the connection is lost push `buffered` with any payload, once.",
    'If the client knows presence: after each sync push `heard` with {"present": {key: metas}}.',
)
"""The program above the client. One that cannot push says `heard` with POST /control/heard."""


class Level(StrEnum):
    """How much a scenario weighs, in the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that a client is put through.

    Attributes:
        id: `client/…`; the part behind it names the lane, with `-` for `/`.
        why: what goes wrong in the field when the client does not do it.
        phoenix_js: what phoenix.js 1.8 does.
        patience_s: how long the rule waits, unless the report is final.
    """

    id: str
    level: Level
    topic: str
    rule: Rule
    why: str
    phoenix_js: str
    patience_s: float = 15.0

    @property
    def lane(self) -> str:
        """The lane in which it is played, when each scenario has its own."""
        return self.id.removeprefix("client/").replace("/", "-")

    @property
    def wants(self) -> str:
        """What the rule wants, in a sentence."""
        return (self.rule.__doc__ or "").strip()


_MUST, _SHOULD = Level.MUST, Level.SHOULD
_RECONNECTS: Final = "Reconnects after 10 ms, then rejoins at once."

SCENARIOS: Final = (
    Scenario(
        "client/join/well_formed",
        _MUST,
        "fault:none",
        connection_rules.well_formed,
        "Phoenix closes with 1011 what it cannot read; a ref used twice gets the wrong reply.",
        "Numbers joins, pushes and heartbeats with one counter.",
    ),
    Scenario(
        "client/heartbeat/sent",
        _MUST,
        "fault:none:id=heartbeat",
        connection_rules.heartbeats,
        "Phoenix closes a connection on which it heard nothing for 60 s.",
        "Sends a heartbeat every 30 s.",
        70.0,
    ),
    Scenario(
        "client/heartbeat/timeout",
        _MUST,
        "fault:silent_heartbeat",
        connection_rules.notices_silence,
        "A connection that only looks alive never delivers anything again.",
        "Closes with 1000 `heartbeat timeout` when 30 s went by without an answer, reconnects.",
        100.0,
    ),
    Scenario(
        "client/heartbeat/half_open",
        _MUST,
        "fault:half_open",
        connection_rules.notices_silence,
        "When a phone changes its network, nothing arrives and nothing is closed.",
        "As for client/heartbeat/timeout; does not wait for the answer to its close frame.",
        100.0,
    ),
    Scenario(
        "client/reconnect/drop",
        _MUST,
        "fault:drop",
        connection_rules.comes_back,
        "Networks drop connections without a close frame (1006).",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1001",
        _MUST,
        "fault:close:1001",
        connection_rules.comes_back,
        "Phoenix sends 1001 when the socket's id is disconnected: `come back with new rights`.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1011",
        _MUST,
        "fault:close:1011",
        connection_rules.comes_back,
        "Phoenix sends 1011 when a connection's process crashed.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_1012",
        _MUST,
        "fault:close:1012",
        connection_rules.comes_back,
        "Phoenix sends 1012 to every client when it is deployed.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/close_4000",
        _SHOULD,
        "fault:close:4000",
        connection_rules.comes_back,
        "Proxies close with codes of their own.",
        _RECONNECTS,
    ),
    Scenario(
        "client/reconnect/restart",
        _MUST,
        "fault:restart:500ms",
        connection_rules.backs_off,
        "During a deploy nobody listens for a while.",
        "Tries after 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then every 5000 ms.",
    ),
    Scenario(
        "client/reconnect/backoff",
        _MUST,
        "fault:outage:503:times=6",
        connection_rules.backs_off,
        "An overloaded server stays overloaded when all clients try again at once.",
        "Tries after 10, 50, 100, 150, 200, 250, 500, 1000, 2000, then every 5000 ms.",
    ),
    Scenario(
        "client/reconnect/forbidden",
        _SHOULD,
        "fault:outage:403:times=5",
        connection_rules.respects_refusal,
        "A token that has expired will not be accepted at the next attempt either.",
        "Cannot see the status; tries for ever, with its usual waits.",
    ),
    Scenario(
        "client/reconnect/accept_then_close",
        _SHOULD,
        "fault:flap:1011:times=8",
        connection_rules.backs_off,
        "A server that accepts and then crashes is hit by every client without a pause.",
        "Forgets its waits as soon as a connection opens: tries every 10 ms.",
    ),
    Scenario(
        "client/rejoin/crash",
        _MUST,
        "fault:crash",
        channel_rules.rejoins,
        "A crashed channel is gone from the server until it is joined again.",
        "Rejoins after 1000 ms, on the same connection.",
    ),
    Scenario(
        "client/rejoin/crash_in_push",
        _MUST,
        "fault:crash:on=push",
        channel_rules.rejoins,
        "A push can crash its channel; its reply then never comes.",
        "Rejoins after 1000 ms, on the same connection.",
    ),
    Scenario(
        "client/rejoin/new_join_ref",
        _SHOULD,
        "fault:crash:id=join_ref",
        channel_rules.takes_new_join_ref,
        "With the same join_ref, late messages of the former join look like those of this one.",
        "Takes the ref of the new join.",
    ),
    Scenario(
        "client/rejoin/refused",
        _SHOULD,
        "fault:refuse_joins:2",
        channel_rules.rejoins,
        "A topic that is not there yet may be there a second later.",
        "Rejoins after 1000, 2000, 5000, then every 10000 ms.",
        20.0,
    ),
    Scenario(
        "client/rejoin/join_timeout",
        _SHOULD,
        "fault:never:on=join",
        channel_rules.rejoins,
        "A join can get lost in a server that is busy.",
        "After 10 s sends phx_leave, then rejoins as after a refusal.",
        30.0,
    ),
    Scenario(
        "client/rejoin/not_after_close",
        _SHOULD,
        "fault:phx_close",
        channel_rules.stays_away,
        "phx_close says that the channel ended as it should: who rejoins repeats it for ever.",
        "Closes the channel and forgets it.",
        3.0,
    ),
    Scenario(
        "client/stale/ignored",
        _MUST,
        "fault:stale_ref",
        channel_rules.ignores_stale,
        "After a quick leave and join, phx_close and events of the former join still arrive.",
        "Drops every message with another join_ref than the channel's own.",
    ),
    Scenario(
        "client/push/late_reply",
        _MUST,
        "fault:late:300ms",
        channel_rules.hears_reply_once,
        "A reply takes as long as it takes.",
        "Waits 10 s for a reply.",
    ),
    Scenario(
        "client/push/timeout",
        _SHOULD,
        "fault:never",
        channel_rules.tells_timeout,
        "A reply may never come; an app that is not told waits for ever.",
        "Tells the app after 10 s.",
        30.0,
    ),
    Scenario(
        "client/push/reply_once",
        _SHOULD,
        "fault:twice",
        channel_rules.hears_reply_once,
        "A channel may reply twice to one ref.",
        "Stops listening for a ref once it is answered.",
    ),
    Scenario(
        "client/push/buffered",
        _SHOULD,
        "fault:outage:503:times=2:id=buffer",
        channel_rules.buffers_pushes,
        "What a user does in a tunnel should not be lost.",
        "Keeps pushes while there is no connection, sends them after the rejoin.",
    ),
    Scenario(
        "client/frames/fragmented",
        _MUST,
        "fault:fragment",
        channel_rules.hears,
        "Proxies cut messages into fragments, with control frames between (RFC 6455 §5.4).",
        "Its websocket joins them.",
    ),
    Scenario(
        "client/frames/split",
        _MUST,
        "fault:split",
        channel_rules.hears,
        "TCP cuts where it likes, in a frame's header too.",
        "Its websocket joins them.",
    ),
    Scenario(
        "client/frames/ping",
        _MUST,
        "fault:ping",
        connection_rules.answers_ping,
        "Proxies ping; who does not answer is cut off (RFC 6455 §5.5.2).",
        "Its websocket answers.",
    ),
    Scenario(
        "client/events/broadcast",
        _MUST,
        "fault:broadcast",
        channel_rules.hears,
        "Broadcasts carry no join_ref: most of what a Phoenix app sends.",
        "Delivers every message whose join_ref is null.",
    ),
    Scenario(
        "client/events/unknown",
        _MUST,
        "fault:noise",
        channel_rules.hears,
        "Servers are newer than clients: they send events nobody listens to.",
        "Ignores what it does not know.",
    ),
    Scenario(
        "client/events/binary",
        _SHOULD,
        "fault:binary",
        channel_rules.hears_bytes,
        "Phoenix sends bytes as binary frames with a layout of their own.",
        "Hands the app an ArrayBuffer.",
    ),
    Scenario(
        "client/presence/merged",
        _SHOULD,
        "fault:presence",
        channel_rules.merges_presence,
        "A diff may overtake the state: who drops it never sees that user.",
        "Keeps diffs until the state has come.",
    ),
    Scenario(
        "client/presence/renewed",
        _SHOULD,
        "fault:presence:id=renewed",
        channel_rules.renews_presence,
        "Who left while the client was away must not stay in its list.",
        "Syncs with the new state after each rejoin.",
    ),
)
