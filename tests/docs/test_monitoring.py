"""The page, the dashboard and the alert rules name the metrics that exist, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from phoenix_compat.server.main import open_app
from phoenix_compat.server.metrics.families import PREFIX, PROCESS, Family, gauge
from phoenix_compat.server.metrics.metrics import METRICS
from phoenix_compat.server.metrics.process_families import bus_families
from phoenix_compat.server.nodes.node_families import NodeNumbers, node_families
from phoenix_compat.server.tracing.span_families import SpanCounts, span_families
from tests.integration.task_server import settings_for

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitoring.md").read_text(encoding="utf-8")
DASHBOARD = DOCS / "monitoring" / "grafana-dashboard.json"
ALERTS = DOCS / "monitoring" / "alerts.yml"
FOREIGN = {"up"}
"""Series that Prometheus itself makes."""
FOREIGN_LABELS = {"instance", "job", "le", PROCESS}


@pytest.fixture
async def families(tmp_path: Path) -> list[Family]:
    """All metrics, those of several processes included."""
    async with open_app(settings_for(tmp_path)) as app:
        found = await app[METRICS].gather()
    return [
        *found,
        *span_families(SpanCounts()),
        *bus_families({"casts": 0}),
        *node_families(NodeNumbers(hints={"task_hints": 0})),
        gauge("scrape_missing_processes", "Processes that did not answer.", 0),
    ]


def row_of(family: Family) -> str:
    """The row that the page must have for a metric."""
    series = family.name + {"counter": "_total", "info": "_info"}.get(family.kind, "")
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{series}` | {family.kind} | {labels} | {family.text} |"


async def test_the_page_has_every_metric(families: list[Family]) -> None:
    """Each has its row, with the kind, the labels and the text of the code, in its order."""
    table = re.findall(rf"^\| `{PREFIX}.*$", PAGE, re.MULTILINE)

    wanted = [row_of(family) for family in families]
    assert table == wanted, "put these rows into docs/monitoring.md:\n" + "\n".join(wanted)


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard and of the rules, with where it stands."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


async def test_queries_name_only_what_exists(families: list[Family]) -> None:
    """Every series and label in a query is one of the server's, or of Prometheus itself."""
    series = {name for family in families for name in family.series} | FOREIGN
    labels = {label for family in families for label in family.labels} | FOREIGN_LABELS
    count = 0
    for place, expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        named = set(re.findall(rf"\b(?:{PREFIX}\w+|up)\b", bare))
        matched = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
        for inner in re.findall(r"\bby \(([^)]*)\)", bare):
            matched |= {label.strip() for label in inner.split(",")}
        assert named, (place, expression)
        assert named <= series, (place, named - series)
        assert matched <= labels, (place, matched - labels)
        count += 1

    assert count > 40


def test_rules_say_what_to_do() -> None:
    """Each has a severity, a summary and a description."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        names = [rule["alert"] for rule in group["rules"]]
        assert len(names) == len(set(names))
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            texts: dict[str, Any] = rule["annotations"]
            assert texts.keys() == {"summary", "description"}


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard has one panel."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
