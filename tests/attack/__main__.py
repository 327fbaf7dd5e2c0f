"""`python -m tests.attack`: attack a server and print what was seen."""

# ruff: noqa: T201 - the result is printed

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.attack import browsers, credentials, descriptors, messages, requests, slow
from tests.attack.registry import ATTACKS, Attack, Finding
from tests.attack.target import Target, keyed_target, own_target

MODULES: Final = (slow, requests, browsers, credentials, messages, descriptors)
"""Whose import has filled the list."""
MAX_S: Final = 300.0
"""All attacks together end within this time."""

_DESCRIPTORS: Final = 10_000


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.attack",
        description="Attack a task server with raw sockets. Prints a line for each attack; the "
        f"exit code is 1 if a bound does not hold. Takes at most {MAX_S / 60:.0f} minutes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--url",
        help="attack this server, as http://127.0.0.1:4000, instead of one that is started for it. "
        "It must be yours: it will have more tasks afterwards, and many log lines",
    )
    parser.add_argument("--key", help="what valid requests to it need: an API key or a JWT")
    parser.add_argument("--only", default="", help="run only attacks whose name contains this")
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    parser.add_argument("--list", action="store_true", help="list the attacks and exit")
    options = parser.parse_args(arguments)
    options.chosen = [
        one
        for one in ATTACKS
        if options.only in one.name
        and (one.is_quick or not options.quick)
        and not (options.url and one.needs_own_server)
    ]
    if not options.chosen:
        parser.error("no attack is left; --list names all")
    return options


async def carry_out(attack: Attack, target: Target, left_s: float = MAX_S) -> Finding:
    """What an attack saw; one that breaks off or takes too long has failed."""
    try:
        async with asyncio.timeout(min(attack.limit_s, left_s)):
            return await attack.run(target)
    except Exception as error:  # noqa: BLE001 - the others go on
        return Finding(holds=False, seen=f"broke off: {error!r:.200}")


@asynccontextmanager
async def _target(options: argparse.Namespace, folder: Path) -> AsyncIterator[Target]:
    if options.url:
        key = None if options.key is None else f"Bearer {options.key}"
        yield Target(options.url.rstrip("/"), folder, authorization=key)
    else:
        async with own_target(folder) as target:
            yield target


async def _attack(options: argparse.Namespace) -> bool:
    end_s = time.monotonic() + MAX_S
    with tempfile.TemporaryDirectory() as folder:
        async with _target(options, Path(folder)) as target:
            print(f"attacking {target.url}\n")
            all_hold = await _carry_out_all(options.chosen, target, end_s)
    again = [one for one in options.chosen if one.is_quick and not one.needs_own_server]
    if options.url or not again:
        return all_hold
    with tempfile.TemporaryDirectory() as folder:
        async with keyed_target(Path(folder)) as target:
            print(f'\nattacking {target.url}, which has auth = ["keys"]\n')
            return await _carry_out_all(again, target, end_s) and all_hold


async def _carry_out_all(attacks: Sequence[Attack], target: Target, end_s: float) -> bool:
    """Print what each attack saw; returns whether all bounds held."""
    all_hold = True
    for attack in attacks:
        begun_s = time.monotonic()
        finding = await carry_out(attack, target, end_s - begun_s)
        all_hold = all_hold and finding.holds
        verdict = "holds" if finding.holds else "FAILS"
        print(f"{verdict}  {attack.name}  [{attack.rows}]")
        print(f"       seen   {finding.seen}  ({time.monotonic() - begun_s:.1f} s)")
        print(f"       bound  {attack.bound}", flush=True)
    return all_hold


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the attacks that the arguments select.

    Raises:
        SystemExit: 1 if a bound does not hold, else 0.
    """
    options = _options(arguments)
    if options.list:
        for attack in ATTACKS:
            print(f"{attack.name}  [{attack.rows}]{'' if attack.is_quick else '  (takes long)'}")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, _DESCRIPTORS), hard), hard))
    sys.exit(0 if asyncio.run(_attack(options)) else 1)


if __name__ == "__main__":
    main()
