"""Answers a client's messages on its topics, and lets the topics' faults strike.

Without a fault, a topic behaves like a small Phoenix channel: a join is answered with ok and then
the event `ask`, a push with its own payload, a leave with ok and phx_close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from phoenix_compat.conformance.faults.app import DO, HEARD, action_of, other_topic, request_payload
from phoenix_compat.conformance.faults.fault_session import FaultSession, TooManyError
from phoenix_compat.conformance.faults.link import Link
from phoenix_compat.conformance.faults.plan import Fault, FaultError, Moment
from phoenix_compat.conformance.faults.record import EntryKind
from phoenix_compat.conformance.faults.table import FAULTS
from phoenix_compat.protocol.message import (
    CHANNEL_CRASH,
    HEARTBEAT,
    PHOENIX_TOPIC,
    PHX_CLOSE,
    PHX_ERROR,
    PHX_JOIN,
    PHX_LEAVE,
    UNMATCHED_TOPIC,
    Message,
)
from phoenix_compat.protocol.serializer import V1

ASK: Final = "ask"
STALE: Final = {"stale": True}
SOME_BYTES: Final = bytes((1, 2, 254, 255))
STALE_REF: Final = 999_999_999
"""No client counts up to this ref."""

_FRAMINGS: Final = frozenset({"fragment", "split"})
_CHANGES_REPLY: Final = frozenset({"late", "never", "twice"})
_PRESENCE_STAYS_S: Final = 0.3
_LEAVE_TAKES_S: Final = 0.3
"""After `quick_rejoin`, so that the next join overtakes the end of the channel."""
_LEAVE_IS_DUE_S: Final = 1.5
"""After `quick_leave`, the connection is dropped when the leave has come, or when it has not."""
_AFTER_LEAVE_S: Final = 0.1
_JOIN_IS_HANDLED_S: Final = 0.3
"""Before the app is suspended, so that its client has taken the reply to the join."""
_SLOW_JOIN: Final = FAULTS.from_text("late:300ms:on=join")
_MAX_HELD: Final = 100
_ONCE: Final = frozenset({"outage", "flap", "expired_token", "offline_join"})
"""Their `times` counts connections: they strike a topic once."""


@dataclass(frozen=True, slots=True)
class _JoinedTopic:
    join_ref: Any
    """The join_ref of the client's messages, and of phx_error and phx_close."""
    own_ref: Any
    """The join_ref of our other messages: the same, or the join's ref if it had no join_ref."""
    nth_join: int


class Channels:
    """The topics that one connection has joined.

    Attributes:
        link: the connection.
    """

    def __init__(self, session: FaultSession, link: Link) -> None:
        self.link = link
        self._session = session
        self._joined: dict[str, _JoinedTopic] = {}
        self._held: dict[str, list[Message]] = {}
        self._requested: dict[str, Fault] = {}
        self._must_leave: set[str] = set()

    def receive(self, message: Message) -> None:
        """Answer a message of the client."""
        if self.link.is_unresponsive or self.link.is_closing:
            return
        topic, event = str(message.topic), message.event
        if topic == PHOENIX_TOPIC and event == HEARTBEAT:
            if not self.link.ignores_heartbeats:
                self.link.reply(None, message.ref, topic, "ok", {})
        elif topic in self._held:
            self._hold(topic, message)
        elif event == PHX_JOIN:
            self._join(topic, message)
        elif event == PHX_LEAVE:
            self._leave(topic, message)
        else:
            self._push(topic, message)

    def strike_topic(self, topic: str, fault: Fault) -> None:
        """Let a fault that follows a join strike now, if the topic is joined."""
        if topic in self._joined and fault.moment in {None, Moment.JOIN}:
            self._follow(topic, fault, self._joined[topic])

    def app_did(self, action: object) -> None:
        """The app has done what it was asked to: let the faults strike that follow."""
        for topic, fault in tuple(self._requested.items()):
            if action_of(fault) == action:
                del self._requested[topic]
                delay_s = 0.0
                if fault.name == "quick_leave":
                    self._must_leave.add(other_topic(topic))
                    delay_s = _LEAVE_IS_DUE_S
                self.link.later(delay_s, self._session.strike_link, fault, self.link)

    # Joins.

    def _join(self, topic: str, message: Message) -> None:
        try:
            fault = self._fault_to_join(topic)
            nth_join = self._session.count_join(topic)
        except (FaultError, TooManyError) as error:
            self._refuse(topic, message, {"reason": str(error)})
            return
        if fault.name == "refuse_joins" and self._session.times_struck(topic, fault) < fault.code:
            self._session.count_strike(topic, fault, self.link)
            self._refuse(topic, message, {"reason": "refused by the fault server"})
            return
        if fault.moment is Moment.JOINING and self._may_strike(topic, fault):
            self._strike_later(topic, fault, message.join_ref)
            return
        previous = self._joined.get(topic)
        self._joined[topic] = joined = _take_joined(message, nth_join)
        if fault.name in _FRAMINGS:
            self._session.count_strike(topic, fault, self.link)
            self._session.strike_link(fault, self.link)
        response = {"fault": fault.name, "does": fault.type.does}
        delay_s = self._reply(topic, fault, Moment.JOIN, message, response)
        if previous is not None:
            self.link.push(previous.join_ref, topic, PHX_CLOSE, {}, previous.join_ref)
        if delay_s is not None:
            self.link.later(delay_s, self._send_ask, topic, fault, joined)

    def _fault_to_join(self, topic: str) -> Fault:
        fault = self._session.fault_of(topic)
        if fault.name == "binary" and self.link.serializer is V1:
            raise FaultError("fault", "fault 'binary' needs a client that speaks vsn 2.0.0")
        return fault

    def _refuse(self, topic: str, message: Message, reason: Any) -> None:
        self.link.reply(message.join_ref, message.ref, topic, "error", reason)

    def _send_ask(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        """Send the event `ask` after the reply to a join, as the fault has it."""
        if self._joined.get(topic) is not joined:
            return
        match fault.name:
            case "stale_ref":
                self._send_stale(topic, fault, joined)
            case "noise":
                self._send_noise(topic, fault, joined)
            case "presence":
                self._send_presence(topic, fault, joined)
            case _:
                pass
        payload = {"n": joined.nth_join}
        if fault.name == "broadcast":
            self._session.count_strike(topic, fault, self.link)
            self.link.broadcast(topic, ASK, payload)
        elif fault.name == "binary":
            self._session.count_strike(topic, fault, self.link)
            self.link.push(str(joined.own_ref), topic, ASK, SOME_BYTES)
        else:
            self.link.push(joined.own_ref, topic, ASK, payload)
        if action_of(fault) is not None:
            delay_s = _JOIN_IS_HANDLED_S if fault.name == "background" else 0.0
            self.link.later(delay_s, self._ask_app, topic, fault, joined)
        elif fault.moment in {None, Moment.JOIN}:
            self._follow(topic, fault, joined)

    def _ask_app(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        """Ask the app to do something, with the event `do`; what follows is in `app_did`."""
        action = action_of(fault)
        is_joined = self._joined.get(topic) is joined
        if action is None or not is_joined or not self._may_strike(topic, fault):
            return
        self._session.count_strike(topic, fault, self.link)
        if fault.name == "quick_leave":
            self._session.arm(other_topic(topic), _SLOW_JOIN)
        if fault.name == "background":  # the app cannot report while it is suspended
            self.link.later(fault.value / 2, self._session.strike_link, fault, self.link)
        elif fault.name != "quick_rejoin":
            self._requested[topic] = fault
        self.link.push(joined.own_ref, topic, DO, request_payload(action, topic, fault))

    def _send_stale(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        self._session.count_strike(topic, fault, self.link)
        stale = _stale_like(joined.own_ref)
        self.link.push(stale, topic, PHX_ERROR, CHANNEL_CRASH, stale)
        self.link.push(stale, topic, PHX_CLOSE, {}, stale)
        if self.link.serializer is not V1:  # in V1, events have no join_ref
            self.link.push(stale, topic, ASK, STALE)

    def _send_noise(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        self._session.count_strike(topic, fault, self.link)
        self.link.push(joined.own_ref, topic, "never_heard_of_this", {"deep": [{"x": None}]})
        self.link.reply(joined.own_ref, _stale_like(joined.own_ref), topic, "ok", {})
        self.link.broadcast("never:heard:of:this", ASK, STALE)

    def _send_presence(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        self._session.count_strike(topic, fault, self.link)
        if joined.nth_join > 1:
            self.link.push(joined.own_ref, topic, "presence_state", _present(cleo="c1"))
            return
        self._broadcast_diff(topic, joins=_present(bob="b1"))
        self.link.push(joined.own_ref, topic, "presence_state", _present(ann="a1"))
        self._broadcast_diff(topic, joins=_present(ann="a2"))
        self._broadcast_diff(topic, leaves=_present(ann="a1", bob="b1"))
        self.link.later(_PRESENCE_STAYS_S, self.link.drop)

    def _broadcast_diff(self, topic: str, *, joins: Any = None, leaves: Any = None) -> None:
        self.link.broadcast(topic, "presence_diff", {"joins": joins or {}, "leaves": leaves or {}})

    # Pushes and leaves.

    def _push(self, topic: str, message: Message) -> None:
        joined = self._joined.get(topic)
        if joined is None:
            self.link.reply(None, message.ref, topic, "error", UNMATCHED_TOPIC)
            return
        if message.join_ref is not None and message.join_ref != joined.join_ref:
            return  # from an earlier join: Phoenix does not answer
        fault = self._session.fault_of(topic)
        if fault.type.delays and fault.moment is Moment.PUSH and self._may_strike(topic, fault):
            self._strike_later(topic, fault, joined.join_ref)
            return
        if fault.name == "stale_ref" and self.link.serializer is not V1:
            self.link.reply(_stale_like(joined.own_ref), message.ref, topic, "ok", STALE)
        payload = message.payload
        response = payload if isinstance(payload, dict | bytes) else {}
        self._reply(topic, fault, Moment.PUSH, message, response)
        if message.event == HEARD and isinstance(payload, dict):
            self.app_did(payload.get("done"))

    def _leave(self, topic: str, message: Message) -> None:
        joined = self._joined.get(topic)
        if joined is not None and message.join_ref not in {None, joined.join_ref}:
            return
        if joined is not None and self._session.fault_of(topic).name == "quick_rejoin":
            # As in Phoenix, a join that comes meanwhile replaces the channel, without a reply.
            self.link.later(_LEAVE_TAKES_S, self._end_leave, topic, message, joined)
        else:
            self._end_leave(topic, message, joined)

    def _end_leave(self, topic: str, message: Message, joined: _JoinedTopic | None) -> None:
        if self._joined.get(topic) is not joined:
            return
        self.link.reply(message.join_ref, message.ref, topic, "ok", {})
        if joined is not None:
            del self._joined[topic]
            self.link.push(joined.join_ref, topic, PHX_CLOSE, {}, joined.join_ref)
        if topic in self._must_leave:
            self._must_leave.remove(topic)
            self.link.later(_AFTER_LEAVE_S, self.link.drop)

    def _hold(self, topic: str, message: Message) -> None:
        """Keep a message until the topic's join is answered, as Phoenix does."""
        if len(self._held[topic]) >= _MAX_HELD:
            note = "too many messages before the reply to a join: reset"
            self._session.record.note(EntryKind.STRUCK, self.link.number, note=note)
            self.link.reset()
            return
        self._held[topic].append(message)

    def _answer_join(self, topic: str, reply: tuple[Any, Any, str, str, Any]) -> None:
        """Answer a late join, then what has come meanwhile."""
        self.link.reply(*reply)
        for message in self._held.pop(topic, []):
            self.receive(message)

    def _reply(
        self, topic: str, fault: Fault, moment: Moment, message: Message, response: Any
    ) -> float | None:
        """Reply ok as the fault has it; the delay of the reply in seconds, None for no reply."""
        joined = self._joined[topic]
        join_ref = message.join_ref if moment is Moment.JOIN else joined.own_ref
        reply = (join_ref, message.ref, topic, "ok", response)
        changes_reply = fault.name in _CHANGES_REPLY and fault.moment is moment
        if not changes_reply or not self._may_strike(topic, fault):
            self.link.reply(*reply)
            return 0.0
        self._session.count_strike(topic, fault, self.link)
        if fault.name == "never":
            return None
        if fault.name == "late" and moment is Moment.JOIN:
            self._held[topic] = []
            self.link.later(fault.value, self._answer_join, topic, reply)
            return fault.value
        if fault.name == "late":
            self.link.later(fault.value, self.link.reply, *reply)
            return fault.value
        self.link.reply(*reply)
        self.link.reply(*reply)
        return 0.0

    # Faults that end something.

    def _follow(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        if fault.type.delays and self._may_strike(topic, fault):
            self.link.later(fault.after_s, self._strike_joined, topic, fault, joined)

    def _strike_joined(self, topic: str, fault: Fault, joined: _JoinedTopic) -> None:
        if self._joined.get(topic) is joined and self._may_strike(topic, fault):
            self._strike(topic, fault, joined.join_ref)

    def _strike_later(self, topic: str, fault: Fault, join_ref: Any) -> None:
        self.link.later(fault.after_s, self._strike, topic, fault, join_ref)

    def _strike(self, topic: str, fault: Fault, join_ref: Any) -> None:
        self._session.count_strike(topic, fault, self.link)
        if fault.name == "crash":
            self._joined.pop(topic, None)
            self.link.push(join_ref, topic, PHX_ERROR, CHANNEL_CRASH, join_ref)
        elif fault.name == "phx_close":
            self._joined.pop(topic, None)
            self.link.push(join_ref, topic, PHX_CLOSE, {}, join_ref)
        else:
            self._session.strike_link(fault, self.link)

    def _may_strike(self, topic: str, fault: Fault) -> bool:
        """Whether the fault may strike again."""
        limit = 1 if fault.name in _ONCE else fault.times
        return limit is None or self._session.times_struck(topic, fault) < limit


def _take_joined(message: Message, nth_join: int) -> _JoinedTopic:
    return _JoinedTopic(message.join_ref, _own_ref(message), nth_join)


def _own_ref(message: Message) -> Any:
    """The join_ref of a channel: that of its join, or the join's ref if it has none."""
    return message.ref if message.join_ref is None else message.join_ref


def _stale_like(ref: Any) -> Any:
    """A ref that the client does not use, with the type of the client's refs."""
    return STALE_REF if isinstance(ref, int) else str(STALE_REF)


def _present(**refs: str) -> Any:
    return {key: {"metas": [{"phx_ref": ref}]} for key, ref in refs.items()}
