"""Every error this package raises, as one tree.

PhoenixCompatError
├─ ProtocolError
│  ├─ RemoteProtocolError       the client erred: bad JSON, bad frame
│  │  └─ InvalidMessageError    well-formed JSON that is no Phoenix message
│  ├─ LocalProtocolError        we erred
│  │  ├─ EncodeError            a payload that the serializer cannot put on the wire
│  │  └─ NotJoinedError         push or broadcast before the join was answered
│  ├─ TokenError                a Phoenix.Token is missing, invalid or expired (protocol.token)
│  └─ TermError                 bytes that are no Erlang term we read (protocol.erlang_term)
├─ AlreadyTrackedError, NotTrackedError, InvalidPresenceError     (presence)
├─ ChannelDefinitionError       at import: a channel class or a socket is declared wrongly
├─ CallbackError                a callback returned something that is no result
├─ ConfigError                  settings that cannot work, all of them at once
│  └─ MissingExtraError         a part was asked for whose packages are not installed
└─ TaskError                    the task engine's own (see phoenix_compat.tasks)
"""

from __future__ import annotations

from phoenix_compat.bounded import brief


class PhoenixCompatError(Exception):
    """The root: `except PhoenixCompatError` catches all that this package raises on purpose."""


class ProtocolError(PhoenixCompatError):
    """Something on the wire was not as it must be."""


class RemoteProtocolError(ProtocolError):
    """The client sent what the protocol does not allow; its connection ends.

    Attributes:
        close_code: the websocket close code that says so (1002, 1007, 1009, 1011).
    """

    def __init__(self, message: str, close_code: int = 1011) -> None:
        super().__init__(message)
        self.close_code = close_code


class InvalidMessageError(RemoteProtocolError):
    """A frame that is readable but is no Phoenix message. Phoenix's name for it."""


class LocalProtocolError(ProtocolError):
    """This side was about to do what the protocol does not allow."""


class EncodeError(LocalProtocolError):
    """A message cannot be put on the wire."""


class NotJoinedError(LocalProtocolError):
    """A channel spoke before its join was answered.

    Attributes:
        topic: the topic whose join was still being decided.
    """

    def __init__(self, topic: object) -> None:
        super().__init__(
            f"cannot push, broadcast or reply on {brief(topic)} before its join is answered; "
            'call socket.send_self("after_join") in join() and speak in handle_info()'
        )
        self.topic = topic


class ChannelDefinitionError(PhoenixCompatError):
    """A channel or socket class is declared in a way that cannot work."""


class CallbackError(PhoenixCompatError):
    """A channel callback returned a value that is no result.

    Attributes:
        callback: the callback's name, `handle_in` for example.
        returned: the value that came back.
    """

    def __init__(self, callback: str, returned: object, expected: str) -> None:
        super().__init__(f"{callback} returned {brief(returned)}; expected {expected}")
        self.callback = callback
        self.returned = returned


class ConfigError(PhoenixCompatError):
    """Settings that cannot work; the text names each with its reason."""


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
