"""All works by family, in the order of the table.

What one process does comes first. Works of several processes (`--workers 2`) get a family of their
own here: a module beside `sockets`, with a server of two workers beside `servers.reference_set`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.benchmarks.loads import long_poll
from tests.benchmarks.work import Work
from tests.benchmarks.works import commits, growth, latency, posts, sockets
from tests.benchmarks.works import tasks as workshop

FAMILIES: Mapping[str, Sequence[Work]] = {
    "core": sockets.CORE,
    "fanout": sockets.FANOUT,
    "sockets": sockets.MORE,
    "longpoll": long_poll.LONG_POLL,
    "growth": growth.GROWTH,
    "latency": latency.LATENCY,
    "posts": posts.POSTS,
    "commits": commits.COMMITS,
    "tasks": workshop.WORKSHOP,
    "startup": workshop.STARTUP,
}
