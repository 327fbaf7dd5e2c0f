"""Writes metrics as text, in the format that the client asks for; prometheus-client does it.

Imported by the first request for metrics only: it costs start-up time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from prometheus_client import exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import CollectorRegistry

from phoenix_compat.server.metrics.families import Family


class Exposition(NamedTuple):
    """The text, and its media type with parameters."""

    body: bytes
    content_type: str


def expose(families: Sequence[Family], accept: str = "") -> Exposition:
    """Write the metrics.

    Args:
        accept: the header `Accept` of the request: OpenMetrics, or Prometheus's older text.
    """
    encode, content_type = exposition.choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(cast("Any", _Families(families)))
    return Exposition(encode(registry), content_type)


class _Families:
    """Gives a registry families that were read before."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The families, in their order."""
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for sample in family.samples:
                name = family.name + sample.suffix
                metric.add_sample(name, dict(sample.labels), sample.value)
            yield metric
