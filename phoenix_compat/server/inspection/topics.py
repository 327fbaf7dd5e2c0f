"""Lists the topics of this server: who has joined them, what is sent on them, and who is present.

Rates come from the counters of topics and channels. Each process compares them with those of the
last time somebody asked, if that was at most MAX_SAMPLE_AGE_S ago.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import msgspec

from phoenix_compat.bounded import bounded_copy, plain
from phoenix_compat.endpoint import Endpoint
from phoenix_compat.server.inspection.processes import Processes

MAX_PAGE: Final = 200
"""The most topics of one page; who looks for another topic searches for it."""
MAX_OF_PROCESS: Final = 1_000
"""The most topics that one process describes; of more the first ones in the order."""
MAX_KEYS: Final = 100
"""The most presence keys that are listed of one topic; the rest is counted."""
MIN_SAMPLE_S: Final = 1.0
MAX_SAMPLE_AGE_S: Final = 30.0

_LIST: Final = "topics.list"

Order: TypeAlias = Literal["busiest", "largest", "name"]


class TopicQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which topics to list.

    Attributes:
        text: only topics that contain this text.
        order: those with the most messages first, or with the most clients, or by name.
        limit: at most MAX_PAGE.
    """

    text: str = ""
    order: Order = "busiest"
    limit: int = 50

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 1 <= self.limit <= MAX_PAGE:
            raise ValueError(f"limit must be 1 to {MAX_PAGE}")


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that at least one client has joined.

    Attributes:
        topic: its name, escaped and shortened.
        clients: how many clients have joined it.
        broadcasts_per_s: broadcasts to its clients; None while it is not known yet.
        received_per_s: messages from its clients; None while it is not known yet.
        presences: how many keys are present.
    """

    topic: str
    clients: int
    broadcasts_per_s: float | None = None
    received_per_s: float | None = None
    presences: int = 0

    @property
    def messages_per_s(self) -> float:
        """In both directions."""
        return (self.broadcasts_per_s or 0.0) + (self.received_per_s or 0.0)


class TopicPage(msgspec.Struct, frozen=True, kw_only=True):
    """The first topics in an order.

    Attributes:
        found: how many topics fit to the query.
        silent: the processes that did not answer; their clients are missing.
    """

    topics: tuple[Topic, ...]
    found: int
    silent: tuple[int, ...] = ()


class PresenceKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key that is present on a topic, with its first metas, shortened."""

    key: str
    count: int
    metas: list[Any]


class PresenceList(msgspec.Struct, frozen=True, kw_only=True):
    """Who is present on a topic.

    Attributes:
        found: how many keys are present.
    """

    topic: str
    keys: tuple[PresenceKey, ...]
    found: int


_query: Final = msgspec.json.Decoder(TopicQuery)
_page: Final = msgspec.json.Decoder(TopicPage)

_ORDERS: Final[dict[Order, Callable[[Topic], Any]]] = {
    "busiest": lambda topic: (-topic.messages_per_s, -topic.clients, topic.topic),
    "largest": lambda topic: (-topic.clients, topic.topic),
    "name": lambda topic: topic.topic,
}


_Count: TypeAlias = tuple[int, int]
"""How many broadcasts there were on a topic, and how many messages from its clients."""
_Rate: TypeAlias = tuple[float, float]
"""The same per second."""
_Row: TypeAlias = tuple[str, int, float | None, float | None]
"""A topic, its clients, and its rate if it is known."""
_NO_RATE: Final = (0.0, 0.0)
_ORDERS_HERE: Final[dict[Order, Callable[[_Row], Any]]] = {
    "busiest": lambda row: (-(row[2] or 0.0) - (row[3] or 0.0), -row[1], row[0]),
    "largest": lambda row: (-row[1], row[0]),
    "name": lambda row: row[0],
}


class Topics:
    """The topics of all processes of this server."""

    def __init__(
        self,
        endpoint: Endpoint,
        processes: Processes,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._processes = processes
        self._rates = _Rates(now_s)
        processes.answer(_LIST, self._answer_list)

    async def list(self, query: TopicQuery) -> TopicPage:
        """The first topics of all processes."""
        answers = await self._processes.ask_all(_LIST, msgspec.json.encode(query))
        pages = [_page.decode(body) for body in answers.by_node.values()]
        topics = _merged([topic for page in pages for topic in page.topics])
        listed = sum(len(page.topics) for page in pages)
        found = sum(page.found for page in pages) - (listed - len(topics))
        first = heapq.nsmallest(query.limit, topics, key=_ORDERS[query.order])
        return TopicPage(topics=tuple(first), found=found, silent=answers.silent)

    def presence(self, topic: str) -> PresenceList:
        """Who is present on a topic, in all processes."""
        metas: defaultdict[str, list[Any]] = defaultdict(list)
        for presence in self._endpoint.presences:
            for key, of_key in presence.metas(topic).items():
                metas[key] += of_key
        keys = (
            PresenceKey(key=plain(key), count=len(found), metas=bounded_copy(found[:10]))
            for key, found in sorted(metas.items())
        )
        return PresenceList(
            topic=plain(topic), keys=tuple(islice(keys, MAX_KEYS)), found=len(metas)
        )

    # This process.

    async def _answer_list(self, body: bytes) -> bytes:
        query = _query.decode(body)
        joined = list(self._endpoint.pubsub.joined())
        rates = self._rates.of(self._counts(joined))
        text = query.text
        # Plain tuples: there may be many thousand topics, of which few are described.
        found = [
            (topic, clients, *((None, None) if rates is None else rates.get(topic, _NO_RATE)))
            for topic, clients, _ in joined
            if text in topic
        ]
        first = heapq.nsmallest(MAX_OF_PROCESS, found, key=_ORDERS_HERE[query.order])
        page = TopicPage(topics=tuple(self._described(*row) for row in first), found=len(found))
        return msgspec.json.encode(page)

    def _counts(self, joined: Iterable[tuple[str, int, int]]) -> dict[str, _Count]:
        received: defaultdict[str, int] = defaultdict(int)
        for server in self._endpoint.clients:
            for topic, channel in server.channels.items():
                received[topic] += channel.received
        return {topic: (broadcasts, received[topic]) for topic, _, broadcasts in joined}

    def _described(
        self, topic: str, clients: int, broadcasts: float | None, received: float | None
    ) -> Topic:
        present = {key for presence in self._endpoint.presences for key in presence.metas(topic)}
        return Topic(
            topic=plain(topic),
            clients=clients,
            broadcasts_per_s=broadcasts,
            received_per_s=received,
            presences=len(present),
        )


class _Rates:
    """Turns counters into rates, between two samples."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._sampled_at_s = float("-inf")
        self._sample: dict[str, _Count] = {}
        self._rates: dict[str, _Rate] | None = None

    def of(self, counts: dict[str, _Count]) -> dict[str, _Rate] | None:
        """The rates by topic, without those that are zero; None if the last sample is too old."""
        now_s = self._now_s()
        since_s = now_s - self._sampled_at_s
        if since_s > MAX_SAMPLE_AGE_S:
            self._rates = None
        elif since_s >= MIN_SAMPLE_S:
            before = self._sample
            self._rates = {
                topic: _rate(count, before[topic], since_s)
                for topic, count in counts.items()
                if topic in before and count != before[topic]
            }
        if since_s >= MIN_SAMPLE_S:
            self._sampled_at_s, self._sample = now_s, counts
        return self._rates


def _rate(now: _Count, before: _Count, since_s: float) -> _Rate:
    """The rate between two counts; the channels of clients that are gone do not count."""
    return (
        round(max(now[0] - before[0], 0) / since_s, 2),
        round(max(now[1] - before[1], 0) / since_s, 2),
    )


def _merged(topics: Sequence[Topic]) -> list[Topic]:
    """The topics with those of the same name in several processes added up."""
    merged: dict[str, Topic] = {}
    for topic in topics:
        other = merged.get(topic.topic)
        merged[topic.topic] = topic if other is None else _added(topic, other)
    return list(merged.values())


def _added(one: Topic, other: Topic) -> Topic:
    # A broadcast reaches every process, so it is counted in each of them.
    return Topic(
        topic=one.topic,
        clients=one.clients + other.clients,
        broadcasts_per_s=_known(one.broadcasts_per_s, other.broadcasts_per_s, max),
        received_per_s=_known(one.received_per_s, other.received_per_s, lambda a, b: a + b),
        presences=max(one.presences, other.presences),
    )


def _known(
    one: float | None, other: float | None, add: Callable[[float, float], float]
) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return add(one, other)
