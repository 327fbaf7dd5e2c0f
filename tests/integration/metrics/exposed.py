"""Reads an exposition as Prometheus does, with prometheus-client's own parsers."""

from __future__ import annotations

from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Exposed:
    """The samples of an exposition.

    Attributes:
        names: the names of all families.
        series: the names of all samples.
    """

    def __init__(self, text: str, *, is_openmetrics: bool) -> None:
        read: Any = read_openmetrics if is_openmetrics else read_text
        families = list(read(text))
        self.names = {family.name for family in families}
        self._samples = [sample for family in families for sample in family.samples]
        self.series = {sample.name for sample in self._samples}

    def value(self, series: str, **labels: str) -> float:
        """The value of the only sample with this name and at least these labels."""
        (found,) = self.values(series, **labels)
        return found

    def total(self, series: str, **labels: str) -> float:
        """The sum of the samples with this name and at least these labels."""
        return sum(self.values(series, **labels))

    def values(self, series: str, **labels: str) -> list[float]:
        """The values of the samples with this name and at least these labels."""
        return [
            sample.value
            for sample in self._samples
            if sample.name == series and labels.items() <= sample.labels.items()
        ]

    def labels(self, name: str) -> set[str]:
        """All values of a label."""
        return {sample.labels[name] for sample in self._samples if name in sample.labels}
