"""The trace checker finds no violations between phoenix.js and this server, even after failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.conformance.trace.checker import check_trace
from phoenix_compat.conformance.trace.recording.frames import Binary, Close, Open, Side
from phoenix_compat.conformance.trace.recording.jsonl import parse_jsonl
from tests.conftest import Serve
from tests.interop.test_phoenix_js import node, pytestmark
from tests.patience import patient

__all__ = ["node", "pytestmark"]

SCRIPT = Path(__file__).parent / "recorded.mjs"


async def test_phoenix_js_breaks_no_rule(serve: Serve, node: str) -> None:
    """Joins, early pushes, binary frames, a crash, a disconnect and leaves break no rule."""
    base_url = await serve(build_reference_app())
    process = await asyncio.create_subprocess_exec(
        *(node, str(SCRIPT), base_url), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(patient(20)):
        out, _ = await process.communicate()

    entries = list(parse_jsonl(out.decode()))

    found = [
        f"frame {one.entry.number} {one.rule.id} {one.detail} {one.entry.frame}"
        for one in check_trace(entries)
    ]
    assert found == []
    assert process.returncode == 0
    kinds = Counter((entry.side, type(entry.frame)) for entry in entries)
    assert kinds[Side.CLIENT, Open] == 2  # the disconnect made it connect again
    assert kinds[Side.CLIENT, Binary] == 1
    assert kinds[Side.SERVER, Binary] == 2
    assert next(entry.frame.code for entry in entries if isinstance(entry.frame, Close)) == 1001
