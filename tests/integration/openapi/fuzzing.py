"""Fuzzes a server by its OpenAPI document with schemathesis, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
)
LEFT_OUT: Final[Mapping[str, str]] = {
    "positive_data_acceptance": "which types, models and files are accepted depends on settings "
    "and on Replicate, so a body may be valid by the document and still be refused with 422",
    "object_level_authorization": "it needs two users whose objects it can tell apart; "
    "tests/integration/ownership asks all routes with two owners",
}
"""The checks of schemathesis that do not apply, with the reasons."""


@dataclass(frozen=True)
class Found:
    """What schemathesis found.

    Attributes:
        cases: the requests that it made up.
        tested: the operations that it tried.
        failures: its report about each failure.
        output: what it printed.
    """

    cases: int
    tested: int
    failures: list[Any]
    output: str


async def fuzz(
    document: Mapping[str, Any],
    url: str,
    folder: Path,
    *,
    phases: str,
    cases_per_route: int,
    seed: int,
    headers: Mapping[str, str] | None = None,
) -> Found:
    """Send made-up requests to a server.

    Args:
        folder: for files.
        phases: of schemathesis, separated by commas.
        headers: sent with every request.
    """
    schema, report = folder / "openapi.json", folder / "report.json"
    await asyncio.to_thread(schema.write_text, json.dumps(document))
    arguments = [
        *(str(schema), "--url", url, "--phases", phases, "--checks", ",".join(CHECKS)),
        *("--max-examples", str(cases_per_route), "--seed", str(seed), "--continue-on-failure"),
        *("--report", "json", "--report-json-path", str(report)),
        *("--generation-database", "none", "--no-color", "--request-timeout", "30"),
    ]
    for name, value in (headers or {}).items():
        arguments += ["--header", f"{name}: {value}"]
    text = await _run(*arguments, folder=folder)
    assert report.exists(), text
    found = json.loads(await asyncio.to_thread(report.read_text))
    assert found["errors"] == [], text
    tested = found["operations"]["tested"]
    return Found(found["test_cases"]["generated"], tested, found["failures"], text)


async def known_checks() -> set[str]:
    """The names of all checks that schemathesis has."""
    text = await _run("--help", folder=Path.cwd())
    listed = text.partition("--checks")[2].partition("--exclude-checks")[0]
    names = listed.partition("possible values:")[2].partition("]")[0]
    return {name.strip() for name in names.split(",")} - {"all"}


async def _run(*arguments: str, folder: Path) -> str:
    """Run `schemathesis run`; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode(errors="replace")
