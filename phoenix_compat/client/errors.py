"""What the client raises.

ClientError
├─ ConnectError            the first attempt to connect failed, or the server refused it
├─ JoinError               the server refused a join
│  └─ JoinTimeoutError     it did not answer in time
├─ PushError               the server answered a push with a status that is not `ok`
│  ├─ PushTimeoutError     it did not answer in time
│  └─ PushLostError        the connection or the channel ended before the answer
├─ ChannelClosedError      the channel was left or closed
├─ BufferFullError         a limit of the client is reached; nothing was sent
└─ MisuseError             a call that cannot work, such as a second join

Invalid options of `Client` raise `phoenix_compat.ConfigError`, and payloads that cannot be encoded
`phoenix_compat.EncodeError`.
"""

from __future__ import annotations

from typing import Any, Final

from phoenix_compat.bounded import brief, plain
from phoenix_compat.errors import PhoenixCompatError

_REMEDIES: Final = {
    None: "check the URL, and whether the server runs",
    401: "check params and auth_token",
    403: "check params and auth_token",
}
"""What to do, by the HTTP status of a refusal."""


class ClientError(PhoenixCompatError):
    """The root of the client's errors."""


class ConnectError(ClientError):
    """The client could not connect.

    Attributes:
        url: the URL of the socket, without its query, which may contain credentials.
        status: the HTTP status with which the server refused, or None if there was no answer.
    """

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        otherwise = "try again later" if status is not None and status >= 500 else "check the URL"
        remedy = _REMEDIES.get(status, otherwise)
        super().__init__(f"cannot connect to {url}: {reason}; {remedy}")
        self.url = url
        self.status = status


class JoinError(ClientError):
    """The server refused a join.

    Attributes:
        topic: the topic of the channel.
        reason: the response, usually a dict with the key `reason`.
    """

    def __init__(self, topic: str, reason: Any, text: str | None = None) -> None:
        super().__init__(text or f"the server refuses the join of {brief(topic)}: {_said(reason)}")
        self.topic = topic
        self.reason = reason


class JoinTimeoutError(JoinError, TimeoutError):
    """The server did not answer a join in time; the client goes on trying."""

    def __init__(self, topic: str, timeout_s: float) -> None:
        text = f"no answer to the join of {brief(topic)} within {timeout_s:g} s"
        super().__init__(topic, None, text)


class PushError(ClientError):
    """The server answered a push with another status than `ok`.

    Attributes:
        topic: the topic of the channel.
        event: the event that was pushed.
        status: the status of the reply, usually `error`; empty if there was no reply.
        response: the response of the reply.
    """

    def __init__(
        self,
        topic: str,
        event: str,
        status: str = "",
        response: Any = None,
        text: str | None = None,
    ) -> None:
        pushed = f"{brief(event)} on {brief(topic)}"
        super().__init__(
            text or f"the server answers {pushed} with {plain(status)}: {_said(response)}"
        )
        self.topic = topic
        self.event = event
        self.status = status
        self.response = response


class PushTimeoutError(PushError, TimeoutError):
    """No reply came in time. The server may have handled the push."""

    def __init__(self, topic: str, event: str, timeout_s: float) -> None:
        text = (
            f"no reply to {brief(event)} on {brief(topic)} within {timeout_s:g} s; if the server"
            " does not reply to this event, use push_nowait"
        )
        super().__init__(topic, event, text=text)


class PushLostError(PushError):
    """The channel crashed or the connection was lost before the reply.

    The server may have handled the push.
    """

    def __init__(self, topic: str, event: str) -> None:
        text = f"the channel {brief(topic)} was interrupted before the reply to {brief(event)}"
        super().__init__(topic, event, text=text)


class ChannelClosedError(ClientError):
    """The channel was left, or closed by the server or with the client.

    Attributes:
        topic: the topic of the channel.
    """

    def __init__(self, topic: str) -> None:
        super().__init__(f"the channel {brief(topic)} is closed; create another with channel()")
        self.topic = topic


class BufferFullError(ClientError):
    """A limit of `ClientLimits` is reached; the message was not sent and will not be.

    Attributes:
        limit: the name of the limit.
    """

    def __init__(self, limit: str, value: int) -> None:
        super().__init__(
            f"{limit} is reached ({value}): push more slowly, or raise it with "
            f"Client(limits=ClientLimits({limit}=…))"
        )
        self.limit = limit


class MisuseError(ClientError):
    """A call that cannot work; the message says what to write instead."""


def _said(response: Any) -> str:
    """The reason in a response, for people."""
    if isinstance(response, dict) and len(response) == 1 and "reason" in response:
        return plain(response["reason"])
    return brief(response)
