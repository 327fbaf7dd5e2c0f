"""Mistakes in channels: the error names the class and the line to write."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_compat import Channel, ChannelDefinitionError, Result, Socket, ok, on
from phoenix_compat.bounded import brief
from tests.unit.declarations.messages import error_of

onto: Any = on
"""`on` without its types, because mypy finds some of these mistakes too."""


def test_on_without_parentheses() -> None:
    """`@on` gets the method itself."""

    def declare() -> None:
        class RoomChannel(Channel):
            @onto  # type: ignore[untyped-decorator] # see above
            def new_msg(self, payload: Any, socket: Socket) -> None: ...

    message = error_of(ChannelDefinitionError, declare)

    assert "RoomChannel.new_msg: @on needs the name of its event" in message
    assert 'write `@on("new_msg")` instead of `@on`' in message


@pytest.mark.parametrize("event", [5, None, ["new_msg"]])
def test_an_event_that_is_not_a_text(event: Any) -> None:
    """The name of an event is a text."""
    message = error_of(ChannelDefinitionError, lambda: on(event))

    assert message == f'@on({event!r}): the name of an event is a text: write `@on("new_msg")`'


def test_an_event_twice() -> None:
    """Two methods of one class for one event."""

    def declare() -> None:
        class RoomChannel(Channel):
            @on("new_msg")
            def new_msg(self, payload: Any, socket: Socket) -> None: ...

            @on("new_msg")
            def other(self, payload: Any, socket: Socket) -> None: ...

    message = error_of(ChannelDefinitionError, declare)

    assert message.startswith("RoomChannel: both ")
    assert "are @on('new_msg'): give one of them another event, or remove it" in message


@pytest.mark.parametrize("event", ["new_msg", "other"])
def test_a_method_twice(event: str) -> None:
    """Two methods of one name, of which Python would keep the last: the first is not forgotten."""

    def declare() -> None:
        class RoomChannel(Channel):
            @on("new_msg")
            def new_msg(self, payload: Any, socket: Socket) -> None: ...

            @on(event)  # type: ignore[no-redef] # the mistake
            def new_msg(self, payload: Any, socket: Socket) -> None: ...  # noqa: F811

    message = error_of(ChannelDefinitionError, declare)

    assert "RoomChannel: there are two methods new_msg()" in message
    assert "@on('new_msg'), would never be called: give one of them another name" in message


def test_an_override_in_a_subclass_is_fine() -> None:
    """A subclass may replace a method, with or without its mark."""

    class RoomChannel(Channel):
        @on("new_msg")
        def new_msg(self, payload: Any, socket: Socket) -> Result:
            return ok()

    class LoudChannel(RoomChannel):
        @on("new_msg")
        def new_msg(self, payload: Any, socket: Socket) -> Result:
            return ok(loud=True)

    class QuietChannel(RoomChannel):
        def new_msg(self, payload: Any, socket: Socket) -> Result:
            return ok(quiet=True)

    assert LoudChannel.handlers["new_msg"] is LoudChannel.new_msg
    assert QuietChannel.handlers["new_msg"] is QuietChannel.new_msg


def test_a_function_marked_twice_outside_of_a_class_is_fine() -> None:
    """In a module a name may be bound again, for example when the module is reloaded."""

    @on("new_msg")
    def new_msg(self: Any, payload: Any, socket: Socket) -> None: ...

    @on("new_msg")  # type: ignore[no-redef] # on purpose
    def new_msg(self: Any, payload: Any, socket: Socket) -> None: ...  # noqa: F811

    class RoomChannel(Channel):
        handle = new_msg

    assert list(RoomChannel.handlers) == ["new_msg"]


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ("self, payload", "(self, payload)"),
        ("self, event, payload, socket", "(self, event, payload, socket)"),
        ("self, payload, socket, *, more", "(self, payload, socket, more)"),
        ("payload, socket", "(payload, socket)"),
    ],
)
def test_the_parameters_of_a_handler(parameters: str, shown: str) -> None:
    """A handler gets the payload and the socket."""
    method = on("new_msg")(_function("new_msg", parameters))

    message = error_of(
        ChannelDefinitionError, lambda: type("RoomChannel", (Channel,), {"new_msg": method})
    )

    assert message == (
        f"RoomChannel.new_msg has the wrong parameters {shown}: "
        "write `def new_msg(self, payload, socket):`"
    )


@pytest.mark.parametrize(
    ("name", "parameters", "line"),
    [
        ("join", "self, payload, socket", "def join(self, topic, payload, socket):"),
        ("join", "topic, payload, socket", "def join(self, topic, payload, socket):"),
        ("handle_in", "self, payload, socket", "def handle_in(self, event, payload, socket):"),
        ("handle_info", "self, message", "def handle_info(self, message, socket):"),
        ("terminate", "self", "def terminate(self, reason, socket):"),
        ("handle_out", "self, payload, socket", "def handle_out(self, event, payload, socket):"),
    ],
)
def test_the_parameters_of_a_callback(name: str, parameters: str, line: str) -> None:
    """A callback that could not be called is an error when the class is made."""
    body = {name: _function(name, parameters), "intercept": ("e",)}

    message = error_of(ChannelDefinitionError, lambda: type("RoomChannel", (Channel,), body))

    assert message.startswith(f"RoomChannel.{name} has the wrong parameters (")
    assert message.endswith(f"write `{line}`")


@pytest.mark.parametrize(
    "parameters",
    ["self, topic, payload, socket", "self, *args", "self, t, p, s=None", "self, t, p, s, more=1"],
)
def test_parameters_that_fit(parameters: str) -> None:
    """Names do not matter, and neither do further parameters with a default."""
    type("RoomChannel", (Channel,), {"join": _function("join", parameters)})


def test_static_and_class_methods_fit() -> None:
    """A callback that needs no instance may say so."""
    body = {
        "join": staticmethod(_function("join", "topic, payload, socket")),
        "terminate": classmethod(_function("terminate", "cls, reason, socket")),
    }

    type("RoomChannel", (Channel,), body)


def test_a_callback_that_is_not_a_method() -> None:
    """A value in the place of a callback."""
    message = error_of(
        ChannelDefinitionError, lambda: type("RoomChannel", (Channel,), {"join": True})
    )

    assert message == (
        "RoomChannel.join is True, not a method: write `def join(self, topic, payload, socket):`"
    )


@pytest.mark.parametrize("intercept", ["new_msg", ("",), 5, [1]])
def test_intercept_that_is_not_a_list(intercept: Any) -> None:
    """One event is not a list of its letters."""
    message = error_of(
        ChannelDefinitionError, lambda: type("RoomChannel", (Channel,), {"intercept": intercept})
    )

    assert message == (
        f"RoomChannel.intercept is {brief(intercept)}, but must be a tuple of events: "
        'write intercept = ("new_msg",)'
    )


def _function(name: str, parameters: str) -> Any:
    names: dict[str, Any] = {}
    exec(f"def {name}({parameters}): ...", names)  # noqa: S102 - the parameters are the case
    return names[name]
