"""What callbacks return: `ok(...)`, `error(...)`, `reply(...)`, `stop(...)`, or None.

Phoenix                                  here
{:ok, socket}                            ok()
{:ok, %{a: 1}, socket}                   ok({"a": 1})   or   ok(a=1)
{:error, %{reason: "no"}}                error(reason="no")
{:reply, :ok, socket}                    ok()
{:reply, {:weird, payload}, socket}      reply("weird", payload)
{:noreply, socket}                       None
{:stop, :normal, socket}                 stop()
{:stop, :shutdown, {:ok, p}, socket}     stop("shutdown", ok(p))
{:stop, {:shutdown, :bye}, socket}       stop(("shutdown", "bye"))
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, TypeAlias

import msgspec

from phoenix_compat.protocol.message import Payload


class Result(msgspec.Struct, frozen=True, gc=False):
    """A status and a payload: the reply to a join, an event or a connect."""

    status: str
    payload: Payload


Reason: TypeAlias = "str | tuple[str, object] | BaseException"
"""Why a channel ends: "normal", "shutdown", ("shutdown", detail), or an error.

`terminate` is called with ("shutdown", "left") after a leave, ("shutdown", "closed") if the client
disconnected, ("shutdown", "draining") at a restart, ("shutdown", "disconnected") after a forced
disconnect, the reason given to `stop`, or the exception that a callback raised.
"""


class Stop(msgspec.Struct, frozen=True, gc=False):
    """End this channel, after an optional last reply."""

    reason: Any
    reply: Result | None


HandleResult: TypeAlias = Result | Stop | None
"""What `handle_in` and `@on` methods return."""

_NO_PAYLOAD: Final = object()


def ok(payload: Payload = _NO_PAYLOAD, /, **fields: Any) -> Result:
    """Accept a join or a connect, or reply with status "ok".

    The response is `payload` (any JSON, or bytes), or a dict of `fields`, or `{}`.
    """
    return Result("ok", fields if payload is _NO_PAYLOAD else payload)


def error(payload: Payload = _NO_PAYLOAD, /, **fields: Any) -> Result:
    """Refuse a join or a connect, or reply with status "error"; the arguments are those of `ok`."""
    return Result("error", fields if payload is _NO_PAYLOAD else payload)


def reply(status: str, payload: Payload = _NO_PAYLOAD, /, **fields: Any) -> Result:
    """Reply with a status of your own; the other arguments are those of `ok`."""
    return Result(status, fields if payload is _NO_PAYLOAD else payload)


def stop(reason: Reason = "normal", reply: Result | None = None) -> Stop:
    """End this channel.

    With the reason "normal", "shutdown" or ("shutdown", detail) the client gets `phx_close` and
    does not rejoin. With any other reason it gets `phx_error` and joins again.
    """
    return Stop(reason, reply)


def is_graceful(reason: Reason) -> bool:
    """Whether a reason ends a channel with `phx_close` rather than `phx_error`."""
    return reason in ("normal", "shutdown") or (
        isinstance(reason, tuple) and reason[0] == "shutdown"
    )


_EXHAUSTED: Final = iter(())


class Done:
    """What `push` and `broadcast` return: an awaitable that is already done."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return _EXHAUSTED  # type: ignore[return-value] # await needs an iterator


DONE: Final = Done()
