"""Mistakes in `@on` methods; each line marked `# bad` must be reported, and no other."""

from __future__ import annotations

from typing import Any

from phoenix_compat import Channel, HandleResult, Result, Socket, ok, on


class BadHandlers(Channel):
    """A handler for each possible mistake."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        return ok()

    @on("too_few")  # bad: type-var
    def too_few(self, payload: Any) -> HandleResult:
        return ok()

    @on("too_many")  # bad: type-var
    def too_many(self, event: str, payload: Any, socket: Socket) -> HandleResult:
        return ok()

    @on("returns_dict")  # bad: type-var
    def returns_dict(self, payload: Any, socket: Socket) -> dict[str, Any]:
        return {"status": "ok"}

    @on("returns_bool")  # bad: type-var
    async def returns_bool(self, payload: Any, socket: Socket) -> bool:
        return True

    @on("wrong_socket")  # bad: type-var
    def wrong_socket(self, payload: Any, socket: str) -> HandleResult:
        return ok(socket)

    @on  # bad: call-overload
    def without_event(self, payload: Any, socket: Socket) -> HandleResult:
        return ok()

    @on("fine")
    def returns_number(self, payload: Any, socket: Socket) -> HandleResult:
        return 5  # bad: return-value
