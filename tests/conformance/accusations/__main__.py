"""`python -m tests.conformance.accusations`: does the suite accuse a server that is right?"""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conformance.accusations.servers import StartError, busy, started
from tests.conformance.accusations.tally import Tally

_PLAYED = {0, 1, 3}
"""The exit codes of `conformance run` with which it writes a report."""


class RunError(Exception):
    """The suite did not run; the text is its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 without an accusation, otherwise 1, 3 or 2."""
    options, passed_on = _parser().parse_known_args(arguments)
    tally = Tally()
    try:
        for number, report in enumerate(_reports(options, passed_on), start=1):
            print(f"run {number}: {tally.add(report)}", flush=True)
            for case in report["cases"]:
                if case["outcome"] not in {"passed", "failed as expected"}:
                    print(_describe(case), flush=True)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                text = json.dumps(report, ensure_ascii=False, indent=1)
                (options.keep / f"run-{number}.json").write_text(text, encoding="utf-8")
    except (StartError, RunError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print("\n".join(tally.lines()))
    return tally.exit_code


def _reports(options: argparse.Namespace, passed_on: Sequence[str]) -> Iterator[Any]:
    with ExitStack() as warm:
        url = None
        if options.warm:
            url = warm.enter_context(started(options.start))
            _run(url, passed_on)
        for _run_number in range(options.runs):
            with busy(options.busy), ExitStack() as cold:
                yield _run(url or cold.enter_context(started(options.start)), passed_on)


def _run(url: str, passed_on: Sequence[str]) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [sys.executable, "-m", "phoenix_compat", "conformance", "run", url]
        finished = subprocess.run(  # noqa: S603 - this package's own command
            [*command, "--json", str(path), *passed_on],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if finished.returncode not in _PLAYED:
            raise RunError(f"conformance run ended with {finished.returncode}: {finished.stderr}")
        return json.loads(path.read_text(encoding="utf-8"))


def _describe(case: Any) -> str:
    lines = [f"  {case['outcome']}: {case['id']} {case['transport']}, after {case['plays']} plays"]
    reasons = [case["unjudged"], *case["reasons"]] if case["unjudged"] else case["reasons"]
    return "\n".join([*lines, *(f"    {reason}" for reason in reasons)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance.accusations",
        description="Run the suite many times against a server that is right, and count what it is "
        "accused of. Further options are those of `conformance run`.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--start",
        required=True,
        metavar="COMMAND",
        help="starts the server on {port}, in the foreground, or prints its process number",
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="[20]")
    parser.add_argument(
        "--warm",
        action="store_true",
        help="start the server once, and play all cases once before the runs that count; "
        "otherwise each run has a server that has just been started",
    )
    parser.add_argument(
        "--busy", type=int, default=0, metavar="N", help="busy processes beside each run  [0]"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the JSON report of each run"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
