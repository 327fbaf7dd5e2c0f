"""`conformance trace`: check a recorded conversation against the protocol."""

# ruff: noqa: PLC0415 - see the package

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import click


@click.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Let SHOULD count for the exit code, too.")
@click.option(
    "--who",
    type=click.Choice(["client", "server"]),
    help="Check only this side.  [both]",
)
@click.option(
    "--heartbeat-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a heartbeat may wait for its answer.",
)
@click.option(
    "--profile",
    default="1.8.12",
    show_default=True,
    help="Version of Phoenix whose rules hold.",
)
@click.option("--rules", is_flag=True, help="List the rules, and check nothing.")
@click.pass_context
def trace(  # noqa: PLR0913 - click passes each option as one argument
    ctx: click.Context,
    file: Path | None,
    *,
    as_json: bool,
    strict: bool,
    who: str | None,
    heartbeat_timeout: float,
    profile: str,
    rules: bool,
) -> None:
    """Report what breaks the protocol in FILE, with the number of each frame.

    FILE is a recording: a HAR file from a browser's network panel, or JSON lines with one object
    per frame, {"t": seconds, "conn": "a", "from": "client"|"server", "text": "[]"}.

    The exit code is 0 if no MUST is violated, 1 if one is, and 2 if the file cannot be read.
    """
    from phoenix_compat.conformance.suite.catalog import rules_left_out
    from phoenix_compat.conformance.trace import report
    from phoenix_compat.conformance.trace.checker import Timeouts, check_trace
    from phoenix_compat.conformance.trace.recording.read_trace import read_trace

    left_out = rules_left_out(profile)
    if rules:
        click.echo(_list_rules(left_out, as_json=as_json))
        return
    if file is None:
        raise click.UsageError("the file is missing; give a recording, or --rules")
    entries = read_trace(file)
    found = [
        violation
        for violation in check_trace(entries, Timeouts(heartbeat_s=heartbeat_timeout))
        if who in {None, violation.rule.who.value} and violation.rule.id not in left_out
    ]
    if as_json:
        document = report.as_json(found, entries)
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(report.format_report(found, entries)))
    counts = report.count(found)
    ctx.exit(1 if counts["MUST"] or (strict and counts["SHOULD"]) else 0)


def _list_rules(left_out: Collection[str], *, as_json: bool) -> str:
    from phoenix_compat.conformance.trace.rules.rulebook import RULES

    listed = [rule for rule in RULES.values() if rule.id not in left_out]
    if as_json:
        rows = [
            {
                "id": rule.id,
                "level": rule.level.value,
                "who": rule.who.value,
                "source": rule.source,
                "why": rule.why,
            }
            for rule in listed
        ]
        return json.dumps(rows, ensure_ascii=False, indent=2)
    return "\n".join(
        f"{rule.level.value:<6} {rule.id} ({rule.who.value})\n       {rule.why}" for rule in listed
    )
