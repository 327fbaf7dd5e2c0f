"""`python -m tests.conformance.mutants.serve NAME`: host the reference set with one mistake.

It prints its URL, and ends when its standard input does: with the process that started it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import tests.conformance.mutants.play  # noqa: F401 - registers the mutants
from phoenix_compat.conformance.reference import build_reference_app
from tests.conformance.mutants import MUTANTS
from tests.patience import patient
from tests.serving import serving

_ROOT = Path(__file__).parents[3]
_START_S = 30.0


async def _serve() -> None:
    async with serving(build_reference_app()) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def mutant_server(name: str) -> AsyncIterator[str]:
    """Host a mutant in a process of its own; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.conformance.mutants.serve", name),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process has no pipes")
    try:
        async with asyncio.timeout(patient(_START_S)):
            url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise RuntimeError(f"the mutant {name} does not start")
        yield url
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    logging.disable()  # mutants log errors on purpose
    with pytest.MonkeyPatch.context() as patch:
        next(mutant for mutant in MUTANTS if mutant.name == sys.argv[1]).apply(patch)
        asyncio.run(_serve())
