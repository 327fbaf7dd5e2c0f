"""Mistakes in callbacks that override; each line marked `# bad` must be reported, and no other."""

from __future__ import annotations

from typing import Any

from phoenix_compat import Channel, ConnectInfo, Reason, Result, Socket, SocketHandler, ok


class BadJoin(Channel):
    """`join` without the topic."""

    def join(self, payload: Any, socket: Socket) -> Result:  # bad: override
        return ok()


class BadJoinResult(Channel):
    """`join` that returns nothing."""

    def join(self, topic: str, payload: Any, socket: Socket) -> None:  # bad: override
        return None


class BadHandleIn(Channel):
    """`handle_in` in Phoenix's order of arguments, except one."""

    def handle_in(self, event: int, payload: Any, socket: Socket) -> None:  # bad: override
        return None


class BadHandleInfo(Channel):
    """`handle_info` that replies; there is no message to reply to."""

    def handle_info(self, message: Any, socket: Socket) -> Result:  # bad: override
        return ok()


class BadTerminate(Channel):
    """`terminate` without the socket."""

    def terminate(self, reason: Reason) -> None:  # bad: override
        return None


class BadIntercept(Channel):
    """One event where several are expected."""

    intercept = "new_msg"  # bad: assignment


class BadConnect(SocketHandler):
    """`connect` that returns a bool, and an `id` that is a number."""

    def connect(  # bad: override
        self, params: dict[str, Any], socket: Socket, connect_info: ConnectInfo
    ) -> bool:
        return True

    def id(self, socket: Socket) -> int:  # bad: override
        return 5
