"""Follows one connection from its handshake to its end, and passes each frame to its checks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from phoenix_compat.conformance.trace.client_side import check_client_frame
from phoenix_compat.conformance.trace.pushes import check_end, check_event
from phoenix_compat.conformance.trace.recording import frames
from phoenix_compat.conformance.trace.recording.frames import Entry, Side
from phoenix_compat.conformance.trace.replies import check_reply
from phoenix_compat.conformance.trace.rules import client_rules, server_rules
from phoenix_compat.conformance.trace.rules import wire_rules as rules
from phoenix_compat.conformance.trace.rules.rule import Rule
from phoenix_compat.conformance.trace.server_frame import Version, read_binary, read_text
from phoenix_compat.conformance.trace.state import ReportViolation, RequestKind, State
from phoenix_compat.protocol.message import PHX_CLOSE, PHX_ERROR
from phoenix_compat.protocol.query import BadQueryError, decode_query
from phoenix_compat.protocol.serializer import DEFAULT_VSN, V1, negotiate

_ABNORMAL_CLOSURE = 1006
_UNDECODABLE = 1011
_CODES = frozenset({1000, 1001, 1002, 1007, 1009, 1011, 1012})
_UNANNOUNCED_CODES = frozenset({1001, 1012})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The times after which something is overdue.

    Attributes:
        heartbeat_s: for the reply to a heartbeat; phoenix.js gives up after 30 s.
        join_s: for the reply to a join; clients give up after 10 s.
        silence_s: for the next frame of the client; Phoenix closes after 60 s.
    """

    heartbeat_s: float = 30.0
    join_s: float = 10.0
    silence_s: float = 60.0


class Connection:
    """The state of one websocket, and the checks that depend on it."""

    def __init__(self, report: ReportViolation, timeouts: Timeouts) -> None:
        self._report = report
        self._timeouts = timeouts
        self._state = State(report)
        self._is_refused = False
        self._closed_by: dict[Side, Entry] = {}
        self._pings: list[str] = []
        self._last_client_entry: Entry | None = None
        self._consecutive_ends = 0

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        if isinstance(entry.frame, frames.Open):
            self._open(entry, entry.frame)
        elif self._is_refused:
            if entry.side is Side.SERVER:
                self._report(rules.OPEN_REFUSED_YET_USED, entry, "")
        elif entry.side in self._closed_by:
            is_server = entry.side is Side.SERVER
            rule = rules.SOCKET_AFTER_CLOSE if is_server else client_rules.CLIENT_AFTER_CLOSE
            detail = f"closed with frame {self._closed_by[entry.side].number}"
            self._report(rule, entry, detail)
        elif entry.side is Side.CLIENT:
            self._take_client_frame(entry)
        else:
            self._take_server_frame(entry)

    def wait_until(self, now_s: float) -> None:
        """Report what is overdue at this time."""
        if self._closed_by or self._is_refused:
            return
        is_blocked = False
        for request in self._state.waiting:
            is_join = request.kind is RequestKind.JOIN
            timeout_s = self._timeouts.join_s if is_join else self._timeouts.heartbeat_s
            is_late = _is_late(request.entry, now_s, timeout_s)
            if is_late and not request.is_overdue and not is_blocked:
                request.is_overdue = True
                unanswered = server_rules.HEARTBEAT_UNANSWERED
                rule = server_rules.JOIN_UNANSWERED if is_join else unanswered
                self._report(rule, request.entry, f"waited longer than {timeout_s:g} s")
            is_blocked = is_blocked or is_join  # whatever follows a join has to wait for its reply
        last = self._last_client_entry
        if last is not None and _is_late(last, now_s, self._timeouts.silence_s):
            detail = f"nothing for {self._timeouts.silence_s:g} s after it"
            self._report(client_rules.CLIENT_SILENT, last, detail)
            self._last_client_entry = None

    def end(self) -> None:
        """End the connection: the recording is over, or its name is used for a new connection."""
        for join in self._state.open_joins():
            if join.leave_answered is not None and not join.is_replaced:
                self._report(server_rules.END_NO_CLOSE, join.leave_answered, "")

    def _open(self, entry: Entry, handshake: frames.Open) -> None:
        self._last_client_entry = entry
        self._is_refused = handshake.status != 101
        if handshake.url is not None:
            self._negotiate(entry, handshake.url)
        chosen = handshake.protocol
        if chosen is not None and chosen not in handshake.protocols:
            offered = ", ".join(handshake.protocols) or "nothing"
            detail = f"chose {chosen!r}, the client offered {offered}"
            self._report(rules.OPEN_PROTOCOL_NOT_OFFERED, entry, detail)

    def _negotiate(self, entry: Entry, url: str) -> None:
        try:
            params = decode_query(urlsplit(url).query)
        except (BadQueryError, ValueError):
            return
        vsn = params.get("vsn", DEFAULT_VSN)
        serializer = negotiate(vsn)
        if serializer is not None:
            self._state.version = Version.V1 if serializer is V1 else Version.V2
            return
        self._report(client_rules.CLIENT_VSN, entry, f"vsn {vsn!r}")
        if not self._is_refused:
            self._report(rules.OPEN_VSN_ACCEPTED, entry, f"vsn {vsn!r}")

    def _take_client_frame(self, entry: Entry) -> None:
        self._last_client_entry = entry
        self._consecutive_ends = 0
        match entry.frame:
            case frames.Text() | frames.Binary() as frame:
                self._learn_version(frame)
                check_client_frame(self._state, entry, frame)
            case frames.Ping(data):
                self._pings.append(data)
            case frames.Close(code):
                self._close(entry, code)
            case _:
                pass

    def _take_server_frame(self, entry: Entry) -> None:
        match entry.frame:
            case frames.Text() | frames.Binary() as frame:
                self._take_server_message(entry, frame)
            case frames.Ping(data):
                self._report(rules.SOCKET_SERVER_PING, entry, repr(data))
            case frames.Pong(data):
                if data not in self._pings:
                    self._report(rules.SOCKET_PONG, entry, repr(data))
                else:  # RFC 6455 §5.5.3: only the latest ping must be answered
                    del self._pings[: self._pings.index(data) + 1]
            case frames.Close(code, reason):
                self._judge_close(entry, code, reason)
                self._close(entry, code)
            case _:
                pass

    def _take_server_message(self, entry: Entry, frame: frames.Text | frames.Binary) -> None:
        version = self._learn_version(frame)

        def report(rule: Rule, detail: str) -> None:
            self._report(rule, entry, detail)

        if isinstance(frame, frames.Text):
            message = read_text(frame.text, version, report)
        else:
            message = read_binary(frame.data, version, report)
        if message is None:
            return
        is_end = message.event in {PHX_CLOSE, PHX_ERROR}
        self._consecutive_ends = self._consecutive_ends + 1 if is_end else 0
        if is_end:
            check_end(self._state, entry, message)
        elif message.is_reply:
            check_reply(self._state, entry, message)
        else:
            check_event(self._state, entry, message)

    def _learn_version(self, frame: frames.Text | frames.Binary) -> Version:
        """Without a URL, the first frame decides: an object is V1, anything else is V2."""
        if self._state.version is None:
            is_object = isinstance(frame, frames.Text) and frame.text.lstrip().startswith("{")
            self._state.version = Version.V1 if is_object else Version.V2
        return self._state.version

    def _judge_close(self, entry: Entry, code: int, reason: str) -> None:
        if Side.CLIENT in self._closed_by or code == _ABNORMAL_CLOSURE:
            return
        if code not in _CODES:
            self._report(rules.SOCKET_CODE, entry, f"code {code}")
        if self._state.undecodable is not None and code != _UNDECODABLE:
            detail = f"code {code} after frame {self._state.undecodable.number}"
            self._report(rules.SOCKET_UNDECODABLE_CODE, entry, detail)
        elif code == 1000:
            self._report(rules.SOCKET_NORMAL_CLOSE, entry, "")
        if reason:
            self._report(rules.SOCKET_REASON, entry, repr(reason))
        was_announced = self._consecutive_ends and not any(self._state.open_joins())
        if was_announced and code in _UNANNOUNCED_CODES:
            detail = f"{self._consecutive_ends} of them before code {code}"
            self._report(rules.SOCKET_ANNOUNCED, entry, detail)

    def _close(self, entry: Entry, code: int) -> None:
        sides = [Side.CLIENT, Side.SERVER] if code == _ABNORMAL_CLOSURE else [entry.side]
        self._closed_by.update(dict.fromkeys(sides, entry))


def _is_late(entry: Entry, now_s: float, timeout_s: float) -> bool:
    return entry.at_s is not None and now_s - entry.at_s > timeout_s
