"""References to sections of docs/protocol.md in code, tests, documents and vectors exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "docs" / "protocol.md"
FOLDERS = ("phoenix_compat", "tests", "docs", "packaging")
SUFFIXES = {
    ".py",
    ".md",
    ".json",
    ".toml",
    ".sql",
    ".sh",
    ".mjs",
    ".html",
    ".js",
    ".css",
    ".service",
}
SKIPPED_FOLDERS = {"node_modules", "__pycache__"}

HEADING = re.compile(r"#{2,3} (?:Appendix )?(\d+(?:\.\d+)?|A(?:\.\d)?)[ .]")
ITEM = re.compile(r"(\d+)\. |\| (\d+) \|")
OF_AN_RFC = re.compile(r"RFC \d+,? §[\d.]+(?:(?:,| and) §[\d.]+)*")
# §3.4, §9.1.22, §10.52-53, and §9.11.173, 178
CITATION = re.compile(r"§ ?(A?\.?\d+(?:\.\d+)*)(?:-(\d+))?((?:, \d+(?![.\d]))*)")
OF_APPENDIX = re.compile(r"[Aa]ppendix (A\.\d)")
OF_ANOTHER = re.compile(r"(?<!docs/protocol)\.md,? §")


@cache
def sections() -> dict[str, frozenset[int]]:
    """Map each numbered heading to the numbers of the list items and table rows below it."""
    found: dict[str, set[int]] = {}
    section = ""
    for line in PROTOCOL.read_text(encoding="utf-8").splitlines():
        if heading := HEADING.match(line):
            section = heading[1]
            found[section] = set()
        elif section and (item := ITEM.match(line)):
            found[section].add(int(item[1] or item[2]))
    return {name: frozenset(items) for name, items in found.items()}


def resolves(citation: str) -> bool:
    """Return whether a section or item exists: `3.4`, `A.2`, `9.1.22`, `10.29`, `1.3.5`."""
    if citation in sections():
        return True
    section, _, item = citation.rpartition(".")
    return item.isdigit() and int(item) in sections().get(section, frozenset())


def citations(line: str) -> Iterator[str]:
    """Yield every section that a line cites, and both ends of a range."""
    line = OF_AN_RFC.sub("", line)
    for found in CITATION.finditer(line):
        first, last, more = found.groups()
        yield first
        group = first.rpartition(".")[0]
        if last:
            yield f"{group}.{last}"
        if first.count(".") == 2:
            yield from (f"{group}.{number}" for number in re.findall(r"\d+", more))
    yield from OF_APPENDIX.findall(line)


def texts() -> list[Path]:
    """Return the text files of the repository."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return [
        path
        for path in [*ROOT.glob("*.*"), *inside]
        if path.suffix in SUFFIXES and path.is_file() and SKIPPED_FOLDERS.isdisjoint(path.parts)
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("§3.7, §9.1.22: both end", ["3.7", "9.1.22"]),
        ("§10.52-53", ["10.52", "10.53"]),
        ("§9.11.173, 178: params", ["9.11.173", "9.11.178"]),
        ("RFC 6455 §5.5 and §7.", []),
        ("RFC 6455 §5, and docs/protocol.md §1.9", ["1.9"]),
        ("§3.12, 1002", ["3.12"]),
        ("§6, appendix A.1: reply", ["6", "A.1"]),
    ],
)
def test_citations_are_found(line: str, wanted: list[str]) -> None:
    """Each form of citation in use is recognised."""
    assert list(citations(line)) == wanted


@pytest.mark.parametrize("unknown", ["3.13", "11", "9.1.29", "10.76", "1.3.10", "A.9"])
def test_unknown_sections_do_not_resolve(unknown: str) -> None:
    """A section or item that does not exist is reported."""
    assert not resolves(unknown)


def test_every_citation_resolves() -> None:
    """Each `§x.y` is a heading of docs/protocol.md, or an item below one."""
    broken = [
        f"{path.relative_to(ROOT)}:{number}: §{citation}"
        for path in texts()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for citation in citations(line)
        if not resolves(citation)
    ]

    assert broken == []


def test_only_the_protocol_is_cited_by_section() -> None:
    """No text cites a section of a document other than docs/protocol.md."""
    broken = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in texts()
        if path != Path(__file__)
        for line in path.read_text(encoding="utf-8").splitlines()
        if OF_ANOTHER.search(line)
    ]

    assert broken == []


def test_every_file_that_cites_names_the_document() -> None:
    """A file with a `§` names docs/protocol.md or an RFC, so that readers find the section."""
    incomplete = [
        str(path.relative_to(ROOT))
        for path in texts()
        if "§" in (text := path.read_text(encoding="utf-8"))
        and not re.search(r"protocol\.md|RFC \d+", text)
    ]

    assert incomplete == []


def section_fields(value: Any) -> Iterator[str]:
    """Yield each `section` field in a vector file."""
    if isinstance(value, dict):
        if isinstance(section := value.get("section"), str):
            yield section
        yield from (found for one in value.values() for found in section_fields(one))
    elif isinstance(value, list):
        yield from (found for one in value for found in section_fields(one))


def test_every_section_field_resolves() -> None:
    """The field `section` of each vector is a heading, or a row or a step below one."""
    cited = {
        section
        for path in (ROOT / "phoenix_compat" / "conformance" / "vectors").rglob("*.json")
        if "schema" not in path.parts
        for section in section_fields(json.loads(path.read_text(encoding="utf-8")))
    }
    broken = {one for one in cited if not resolves(re.sub(r" (?:rule|step) ", ".", one))}

    assert len(cited) > 30
    assert broken == set()


def test_sections_are_in_order() -> None:
    """Headings are numbered in order and without gaps."""
    numbers = [tuple(map(int, name.split("."))) for name in sections() if name[0] != "A"]

    gaps = [name for name in numbers if name[-1] > 1 and (*name[:-1], name[-1] - 1) not in numbers]

    assert numbers == sorted(numbers)
    assert gaps == []


def test_every_rule_has_its_source() -> None:
    """Each subsection of §1 to §7 names its source in Phoenix or in a client."""
    parts = re.split(r"^### (?=[1-7]\.)", PROTOCOL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    missing = [
        part.splitlines()[0] for part in parts[1:] if "\nSource: " not in part.partition("\n## ")[0]
    ]

    assert missing == []
