"""Publishes the events of other backends to Phoenix clients.

    POST /api/broadcast   {"topic", "event", "payload"}               200 {"published": 1}
                          {"messages": [{"topic", "event", "payload"}, …]}, at most 100
                          once per Idempotency-Key                    403, 422: see below

The sender needs the scope `publish`, and the operator lists the topics in `publish_topics`; other
topics are answered with 403. The answer comes after the events were handed to the clients of this
process and to the bus, in their order. A batch is sent as a whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from phoenix_compat.bounded import plain
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.protocol.message import DISCONNECT
from phoenix_compat.protocol.topic import TopicRoutes
from phoenix_compat.server.auth.principal import Principal, Scope
from phoenix_compat.server.backends.publish_body import (
    PublishedMessage,
    is_batch,
    published_messages,
)
from phoenix_compat.server.backends.published_keys import PublishedKeys
from phoenix_compat.server.channel.socket_authentication import owner_topic
from phoenix_compat.server.http.authentication import principal_of
from phoenix_compat.server.http.body import body_fingerprint, parsed_json, read_body
from phoenix_compat.server.http.problem import ProblemError
from phoenix_compat.server.http.tasks.arguments import REPLAYED_HEADER, idempotency_key
from phoenix_compat.server.process.settings.backends import is_own_topic
from phoenix_compat.tasks.model.errors import KeyReusedError

PUBLISH_PATH: Final = "/api/broadcast"
MAX_BODY_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class PublishCounts:
    """What has happened since the start.

    Attributes:
        messages: messages that were published.
        replayed: requests whose key was used before; nothing was published.
        refused: requests with a topic or an event that may not be published.
        forgotten_keys: see PublishedKeys.
    """

    messages: int = 0
    replayed: int = 0
    refused: int = 0
    forgotten_keys: int = 0


class PublishApi:
    """The route, in one process.

    Args:
        topics: the patterns of `publish_topics`.
    """

    def __init__(self, endpoint: Endpoint, topics: Sequence[str]) -> None:
        self._endpoint = endpoint
        self._is_on = bool(topics)
        self._topics = TopicRoutes((pattern, True) for pattern in topics)
        self._keys = PublishedKeys()
        self._counts = PublishCounts()

    @property
    def counts(self) -> PublishCounts:
        """See PublishCounts."""
        self._counts.forgotten_keys = self._keys.forgotten
        return self._counts

    async def publish(self, request: web.Request) -> web.Response:
        """Publish a message or a batch."""
        sender = principal_of(request)
        sender.require(Scope.PUBLISH)
        if not self._is_on:
            raise self._refused("Publishing is off. List topics in the setting publish_topics.")
        key = idempotency_key(request)
        body = parsed_json(await read_body(request, MAX_BODY_BYTES))
        messages = published_messages(body)
        for index, message in enumerate(messages):
            self._check(message, sender, f"messages.{index}." if is_batch(body) else "")
        # Nothing is awaited from here on: of two requests with one key, the second finds it.
        answer = web.json_response({"published": len(messages)})
        if key is not None and self._was_published(sender.owner, key, body_fingerprint(body)):
            answer.headers[REPLAYED_HEADER] = "true"
            return answer
        for message in messages:
            self._endpoint.broadcast(message.topic, message.event, message.payload)
        self._counts.messages += len(messages)
        return answer

    def _check(self, message: PublishedMessage, sender: Principal, where: str) -> None:
        """Refuse topics that are not listed, and those of this server. Raises ProblemError.

        Args:
            where: what stands before the name of a field in errors.
        """
        topic = plain(message.topic)
        if is_own_topic(message.topic):
            detail = f'The topic "{topic}" is one of this server. Choose another one.'
            raise self._refused(detail, f"{where}topic")
        if not self._topics.match(message.topic):
            raise self._refused(
                f'The setting publish_topics does not allow the topic "{topic}". Add a pattern '
                "for it there, or choose another topic.",
                f"{where}topic",
            )
        is_disconnect = message.event == DISCONNECT and message.topic.startswith(owner_topic(""))
        if is_disconnect and Scope.OPERATE not in sender.scopes:
            raise self._refused(
                f'On topics that begin with "{owner_topic("")}" the event "{DISCONNECT}" closes '
                f'the sockets of an owner. Use a credential that has "{Scope.OPERATE}".',
                f"{where}event",
            )

    def _was_published(self, owner: str, key: str, fingerprint: str) -> bool:
        """Whether a key was used; if not, it is from now on. Raises KeyReusedError."""
        used = self._keys.fingerprint(owner, key)
        if used is None:
            self._keys.add(owner, key, fingerprint)
            return False
        if used != fingerprint:
            raise KeyReusedError(key)
        self._counts.replayed += 1
        return True

    def _refused(self, detail: str, field: str | None = None) -> ProblemError:
        self._counts.refused += 1
        errors = () if field is None else ((field, detail),)
        return ProblemError(403, "not-allowed", detail, errors=errors)


PUBLISH: Final = web.AppKey("publish", PublishApi)
"""The key under which an application stores it."""


def add_publish_route(app: web.Application, endpoint: Endpoint, topics: Sequence[str]) -> None:
    """Mount the route on an app that has not started; the task API's middleware serves it too."""
    app[PUBLISH] = PublishApi(endpoint, topics)
    app.router.add_post(PUBLISH_PATH, app[PUBLISH].publish)
