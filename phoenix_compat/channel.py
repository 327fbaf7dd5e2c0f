"""The channel: one class per topic pattern, one instance per client that joins.

    class RoomChannel(Channel):
        async def join(self, topic, payload, socket):
            return ok()

        @on("new_msg")
        async def new_msg(self, payload, socket):
            socket.broadcast("new_msg", {"body": payload["body"]})
            return ok()

`@on("new_msg", NewMsg)` converts the payload to a type; see typed_payload.

Every callback may be `def` or `async def`. The callbacks of one channel run one after another, in
the order of their messages; channels do not wait for each other. If a callback raises, only its
channel ends, with `phx_error`.

Source: phoenix 1.8.12, lib/phoenix/channel.ex.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar, overload

from phoenix_compat.bounded import brief
from phoenix_compat.declarations.callbacks import (
    check_callbacks,
    check_event_name,
    check_not_replaced,
    check_parameters,
)
from phoenix_compat.declarations.options import is_texts
from phoenix_compat.errors import ChannelDefinitionError
from phoenix_compat.protocol.message import JSON, PHX_JOIN, Payload
from phoenix_compat.result import HandleResult, Reason, Result, Stop
from phoenix_compat.socket import Socket
from phoenix_compat.typed_payload import USABLE, PayloadType, mark_type, marked_type, type_name

Handler: TypeAlias = Callable[[Any, Any, Socket], "Awaitable[HandleResult] | HandleResult"]

JoinHandler: TypeAlias = Callable[[Any, Any, Any, Socket], "Awaitable[Result] | Result"]

F = TypeVar("F", bound=Handler)
G = TypeVar("G", bound=JoinHandler)
C = TypeVar("C")
P = TypeVar("P")
R = TypeVar("R", bound="Awaitable[HandleResult] | HandleResult")
J = TypeVar("J", bound="Awaitable[Result] | Result")

log = logging.getLogger(__name__)

_CALLBACKS = ("join", "handle_in", "handle_out", "handle_info", "terminate")
_EVENT_ATTRIBUTE = "__phoenix_event__"
_UNTYPED: Final = object()


class UnhandledEventError(Exception):
    """A channel has no `@on` method and no `handle_in` for an event; it crashes, as in Phoenix."""


class MarkHandler(Protocol[P]):
    """Marks a method whose payload has a type."""

    def __call__(self, method: Callable[[C, P, Socket], R], /) -> Callable[[C, P, Socket], R]:
        """Return the method."""


class MarkJoin(Protocol[P]):
    """Marks a `join` whose payload has a type."""

    def __call__(
        self, method: Callable[[C, str, P, Socket], J], /
    ) -> Callable[[C, str, P, Socket], J]:
        """Return the method."""


@overload
def on(event: str) -> Callable[[F], F]: ...
@overload
def on(event: str, payload_type: type[P]) -> MarkHandler[P]: ...  # type: ignore[overload-overlap] # the next one is for what is no class
@overload
def on(event: str, payload_type: object) -> Callable[[F], F]: ...
def on(event: str, payload_type: Any = _UNTYPED) -> Any:
    """Mark a method `(self, payload, socket)` as the handler of an event.

    The method returns `ok(...)`, `error(...)`, `reply(...)`, `stop(...)`, or None for no reply.

    Args:
        payload_type: what the payload is converted to: a msgspec Struct, a dataclass, a TypedDict,
            a pydantic model, `bytes` for binary payloads, or another type that msgspec converts. A
            payload that does not fit is answered with the error `{"reason": "invalid_payload",
            "field": "body", "message": "…"}`, and the method is not called.
    """

    check_event_name(event)

    def mark(method: F) -> F:
        check_not_replaced(method, _EVENT_ATTRIBUTE)
        setattr(method, _EVENT_ATTRIBUTE, event)
        if payload_type is not _UNTYPED:
            mark_type(method, payload_type)
        return method

    return mark


@overload
def on_join(payload_type: type[P]) -> MarkJoin[P]: ...  # type: ignore[overload-overlap] # the next one is for what is no class
@overload
def on_join(payload_type: object) -> Callable[[G], G]: ...
def on_join(payload_type: Any) -> Any:
    """Convert the payload of `join` to a type: `@on_join(Params)` over `join`.

    A payload that does not fit refuses the join. For the types see `on`.
    """

    def mark(method: G) -> G:
        mark_type(method, payload_type)
        return method

    return mark


class Channel:
    """What a client joins. Subclass it; the base class has no state of its own.

    Attributes:
        intercept: events whose broadcasts go to `handle_out` instead of directly to the client.
        log_join: the log level for joins; None logs none.
        log_handle_in: the log level for events; None logs none.
        pushes: the events that the channel pushes or broadcasts, and the types of their payloads.
            They are for `Endpoint.asyncapi` only; what is pushed is not checked.
        replies: the types of the responses with which the channel replies "ok", by event;
            "phx_join" for the join. They are for `Endpoint.asyncapi` only, too.
    """

    intercept: ClassVar[tuple[str, ...]] = ()
    log_join: ClassVar[int | None] = logging.INFO
    log_handle_in: ClassVar[int | None] = logging.DEBUG

    pushes: ClassVar[Mapping[str, Any]] = {}
    replies: ClassVar[Mapping[str, Any]] = {}

    handlers: ClassVar[dict[str, Handler]] = {}
    """The `@on` method of each event; filled when the class is created."""
    payload_types: ClassVar[dict[str, PayloadType]] = {}
    """The type of each event that has one."""
    join_type: ClassVar[PayloadType | None] = None
    """The type of the payload of `join`, if it has one."""
    push_types: ClassVar[dict[str, PayloadType]] = {}
    """The types of `pushes`."""
    reply_types: ClassVar[dict[str, PayloadType]] = {}
    """The types of `replies`."""
    intercepts: ClassVar[frozenset[str]] = frozenset()
    """The events of `intercept` as a set, for fast lookups."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_callbacks(cls, Channel, _CALLBACKS)
        check_intercept(cls)
        cls.handlers = _collect_handlers(cls)
        _collect_types(cls)
        cls.intercepts = frozenset(cls.intercept)
        handles_out = cls.handle_out is not Channel.handle_out
        if cls.intercepts and not handles_out:
            raise ChannelDefinitionError(
                f"{cls.__name__} intercepts {sorted(cls.intercepts)} but has no handle_out"
            )
        if handles_out and not cls.intercepts:
            raise ChannelDefinitionError(
                f"{cls.__name__}.handle_out is never called; list its events in `intercept`"
            )

    def join(self, topic: str, payload: JSON, socket: Socket, /) -> Awaitable[Result] | Result:
        """Accept a join with `ok(...)` or refuse it with `error(...)`.

        Until this returns, the client's later messages wait. Pushing is not possible yet; see
        Socket.send_self.

        Args:
            payload: what the client sent with `phx_join`; any JSON value, not always a dict.
        """
        raise NotImplementedError(f"{type(self).__name__} has no join()")

    def handle_in(
        self, event: str, payload: Payload, socket: Socket
    ) -> Awaitable[HandleResult] | HandleResult:
        """Handle an event that has no `@on` method. The base class raises UnhandledEventError."""
        del payload, socket
        name = type(self).__name__
        raise UnhandledEventError(f"{name} has no handler for event {brief(event)}")

    def handle_out(
        self, event: str, payload: Payload, socket: Socket
    ) -> Awaitable[Stop | None] | Stop | None:
        """Handle a broadcast of an intercepted event; call `socket.push` to send it on."""
        del event, payload, socket
        return None

    def handle_info(self, message: Any, socket: Socket) -> Awaitable[Stop | None] | Stop | None:
        """Handle a message from `send_self`, or a broadcast of a topic from `subscribe`.

        The base class logs a warning.
        """
        log.warning(
            "%s on %s has no handle_info for %s",
            type(self).__name__,
            brief(socket.topic),
            brief(message),
        )
        return None

    def terminate(self, reason: Reason, socket: Socket) -> Awaitable[None] | None:
        """Clean up when the channel ends; for the reasons see Reason. The result is ignored."""
        del reason, socket
        return None


def check_intercept(cls: type[Channel]) -> None:
    """Check the events of `intercept`. Raises ChannelDefinitionError."""
    if not is_texts(cls.intercept):
        raise ChannelDefinitionError(
            f"{cls.__name__}.intercept is {brief(cls.intercept)}, but must be a tuple of events: "
            'write intercept = ("new_msg",)'
        )


def check_joinable(cls: type[Channel]) -> None:
    """Check that a class can be joined. Raises ChannelDefinitionError."""
    if cls.join is Channel.join:
        raise ChannelDefinitionError(
            f"{cls.__name__} has no join, so nobody could join it: write "
            "`def join(self, topic, payload, socket): return ok()`"
        )


def _collect_handlers(cls: type[Channel]) -> dict[str, Handler]:
    """The `@on` methods of a class and its bases.

    A subclass may override a method by name; it keeps its event unless it is marked with another.
    """
    handlers: dict[str, Handler] = {}
    owners: dict[str, str] = {}
    for name in dict.fromkeys(name for base in cls.__mro__ for name in vars(base)):
        method = getattr(cls, name, None)
        marks = (getattr(vars(base).get(name), _EVENT_ATTRIBUTE, None) for base in cls.__mro__)
        event = next((mark for mark in marks if mark is not None), None)
        if event is None or not callable(method):
            continue
        if event in owners:
            raise ChannelDefinitionError(
                f"{cls.__name__}: both {owners[event]}() and {name}() are @on({event!r}): give one "
                "of them another event, or remove it"
            )
        check_parameters(cls, name, ("self", "payload", "socket"))
        owners[event] = name
        handlers[event] = method
    return handlers


def _collect_types(cls: type[Channel]) -> None:
    """Find the types of a class, and let its handlers convert their payloads."""
    names = {id(getattr(cls, name)): name for name in dir(cls)}
    cls.payload_types = {}
    for event, method in cls.handlers.items():
        marked = marked_type(cls, names[id(method)], _EVENT_ATTRIBUTE)
        if marked is not None:
            usable = _usable(cls, marked[0], f"@on({event!r}, {{}})")
            cls.payload_types[event] = usable
            cls.handlers[event] = usable.converting(method)
    marked = marked_type(cls, "join", _EVENT_ATTRIBUTE)
    cls.join_type = None if marked is None else _usable(cls, marked[0], "@on_join({})")
    cls.push_types = _usable_types(cls, "pushes", cls.pushes)
    cls.reply_types = _usable_types(cls, "replies", cls.replies)
    for event in cls.replies:
        if event not in cls.handlers and event != PHX_JOIN:
            raise ChannelDefinitionError(
                f"{cls.__name__}.replies has {event!r}, which no @on method handles; write the "
                f"event of one, or {PHX_JOIN!r}"
            )


def _usable_types(
    cls: type[Channel], name: str, types: Mapping[str, Any]
) -> dict[str, PayloadType]:
    """The types of a class attribute, by event."""
    return {
        event: _usable(cls, declared, f"{name} = {{{{{event!r}: {{}}}}}}")
        for event, declared in types.items()
    }


def _usable(cls: type[Channel], declared: Any, place: str) -> PayloadType:
    """The type, or an error that names the class and the place, such as `@on('e', {})`."""
    try:
        return PayloadType(declared)
    except TypeError as error:
        where = place.format(type_name(declared))
        raise ChannelDefinitionError(
            f"{cls.__name__}: {where} cannot work: {error}. Write {USABLE}"
        ) from error
