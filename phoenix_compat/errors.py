"""All errors of this package, as one tree.

PhoenixCompatError
├─ ProtocolError
│  ├─ RemoteProtocolError       the client made a mistake: bad JSON, bad frame
│  │  └─ InvalidMessageError    valid JSON that is not a Phoenix message
│  │     └─ WrongVersionError   a message of another version than the client's `vsn`
│  ├─ LocalProtocolError        the server made a mistake
│  │  ├─ EncodeError            the serializer cannot encode a payload
│  │  └─ NotJoinedError         a push or broadcast before the reply to the join
│  ├─ TokenError                a Phoenix.Token is missing, invalid or expired (protocol.token)
│  └─ TermError                 not a supported Erlang term (protocol.erlang_term)
├─ AlreadyTrackedError, NotTrackedError, InvalidPresenceError     (presence)
├─ ChannelDefinitionError       at import: a channel or socket class is declared incorrectly
├─ CallbackError                a callback returned an invalid value
├─ WrongThreadError             a broadcast from a thread other than that of the event loop
├─ ClientError                  errors of the client (see phoenix_compat.client.errors)
├─ ConfigError                  invalid settings, all reported together
│  └─ MissingExtraError         a part of the package is used whose extra is not installed
└─ TaskError                    errors of the task engine (see phoenix_compat.tasks)
"""

from __future__ import annotations

from phoenix_compat.bounded import brief


class PhoenixCompatError(Exception):
    """The root: `except PhoenixCompatError` catches everything this package raises on purpose."""


class ProtocolError(PhoenixCompatError):
    """The protocol was violated."""


class RemoteProtocolError(ProtocolError):
    """The client violated the protocol; its connection is closed.

    Attributes:
        close_code: the websocket close code to use (1002, 1007, 1009 or 1011).
    """

    def __init__(self, message: str, close_code: int = 1011) -> None:
        super().__init__(message)
        self.close_code = close_code


class InvalidMessageError(RemoteProtocolError):
    """A readable frame that is not a Phoenix message. The name is Phoenix's."""


class WrongVersionError(InvalidMessageError):
    """The client writes another version of messages than the one that its `vsn` names."""


class LocalProtocolError(ProtocolError):
    """The server was about to violate the protocol."""


class EncodeError(LocalProtocolError):
    """A message cannot be encoded."""


class NotJoinedError(LocalProtocolError):
    """A channel tried to send before its join was answered.

    Attributes:
        topic: the topic of the pending join.
    """

    def __init__(self, topic: object) -> None:
        super().__init__(
            f"cannot push, broadcast or reply on {brief(topic)} before its join is answered; "
            'call socket.send_self("after_join") in join() and send in handle_info()'
        )
        self.topic = topic


class ChannelDefinitionError(PhoenixCompatError):
    """A channel or socket class is declared in a way that cannot work."""


class CallbackError(PhoenixCompatError):
    """A channel callback returned an invalid value.

    Attributes:
        callback: what was called, for example `join`, or `the handler of 'new_msg'`.
        returned: the value that it returned.
    """

    def __init__(self, callback: str, returned: object, expected: str) -> None:
        super().__init__(f"{callback} returned {brief(returned)}; expected {expected}")
        self.callback = callback
        self.returned = returned


class WrongThreadError(PhoenixCompatError, RuntimeError):
    """A broadcast, or a change of a presence, from outside the event loop that serves the clients.

    Args:
        function: what was called.
    """

    def __init__(self, function: str) -> None:
        super().__init__(
            f"{function} was called outside the event loop of its clients, and nothing was sent. "
            "FastAPI, Starlette and Django run a `def` function in a thread: write `async def`. In "
            "a thread of your own, write loop.call_soon_threadsafe(endpoint.broadcast, topic, "
            "event, payload)"
        )


class ConfigError(PhoenixCompatError):
    """Invalid settings; the message names each one with the reason."""


class MissingExtraError(ConfigError):
    """A part was asked for that is an extra of this package, and the extra is not installed.

    Args:
        missing: what is not installed, as the subject of the sentence.
        extra: the extra that installs it.

    Attributes:
        extra: the same.
    """

    def __init__(self, missing: str, extra: str) -> None:
        super().__init__(
            f'{missing} is not installed. Install it with: pip install "phoenix-compat[{extra}]"'
        )
        self.extra = extra


class TaskError(PhoenixCompatError):
    """The root of the task engine's errors."""
