"""Checks the frames of a client that is watched with the rules of the trace checker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from phoenix_compat.conformance.trace.checker import TraceChecker
from phoenix_compat.conformance.trace.recording.frames import Binary, Entry, Frame, Open, Side, Text
from phoenix_compat.conformance.trace.rules.server_rules import REPLY_NEVER_ASKED
from phoenix_compat.protocol import jason
from phoenix_compat.protocol.message import PHX_JOIN, Message, Ref
from phoenix_compat.protocol.serializer import V1, V2
from phoenix_compat.server.inspection.operator_tools import Violation

OLD_REQUESTS_S: Final = 60.0
"""So long replies may answer messages from before the first frame."""

_CONNECTION: Final = "client"
_PLACE: Final = ""
_BEFORE: Final = 0


class FrameChecks:
    """Checks one client that is already connected; see FrameChecker."""

    def __init__(self, *, is_v1: bool) -> None:
        self._checker = TraceChecker()
        self._serializer = V1 if is_v1 else V2
        self._began_at_s: float | None = None
        vsn = "1.0.0" if is_v1 else "2.0.0"
        self._enter(Entry(_BEFORE, _PLACE, _CONNECTION, None, Side.CLIENT, Open(f"/?vsn={vsn}")))

    def joined(self, topic: str, join_ref: Ref, ref: Ref) -> None:
        """See FrameChecker."""
        if self._serializer is V1:
            asked = {"topic": topic, "event": PHX_JOIN, "payload": {}, "ref": ref}
            self._enter_text(Side.CLIENT, jason.encode(asked))
        else:
            asked_frame = V2.encode(Message(join_ref, ref, topic, PHX_JOIN, {}))
            self._enter_text(Side.CLIENT, asked_frame)
        reply = self._serializer.encode_reply(join_ref, ref, topic, "ok", {})
        self._enter_text(Side.SERVER, reply)

    def take(
        self, number: int, at_s: float, frame: bytes, *, is_client: bool, is_binary: bool
    ) -> None:
        """See FrameChecker."""
        if self._began_at_s is None:
            self._began_at_s = at_s
        side = Side.CLIENT if is_client else Side.SERVER
        content: Frame = Binary(frame) if is_binary else Text(frame.decode("utf-8", "replace"))
        self._enter(Entry(number, _PLACE, _CONNECTION, at_s, side, content))

    def found(self) -> Sequence[Violation]:
        """See FrameChecker."""
        return [
            Violation(
                number=one.entry.number,
                rule=one.rule.id,
                level=one.rule.level.value,
                side=one.rule.who.value,
                text=f"{one.rule.why}: {one.detail}" if one.detail else one.rule.why,
            )
            for one in self._checker.take_found()
            if one.entry.number != _BEFORE
            and not (one.rule is REPLY_NEVER_ASKED and self._is_early(one.entry))
        ]

    def _is_early(self, entry: Entry) -> bool:
        if entry.at_s is None or self._began_at_s is None:
            return True
        return entry.at_s - self._began_at_s < OLD_REQUESTS_S

    def _enter_text(self, side: Side, frame: bytes) -> None:
        self._enter(Entry(_BEFORE, _PLACE, _CONNECTION, None, side, Text(frame.decode())))

    def _enter(self, entry: Entry) -> None:
        self._checker.take(entry)
