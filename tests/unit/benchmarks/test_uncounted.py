"""The server without counters, which shows what they cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
from tests.benchmarks.uncounted import leave_out_counters
print(leave_out_counters())
from phoenix_compat.conformance.reference import build_reference_app
from phoenix_compat.runtime.sending.wire import WebSocketWire
"""


def test_every_counter_of_messages_is_left_out() -> None:
    """As many statements as the modules have; the rest of the server can still be imported."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "9\n", "")
