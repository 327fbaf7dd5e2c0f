"""Emulates Replicate's HTTP API, for the demo without a token and for tests with faults.

The modules here and in `predictions/`, `faults/`, `pictures/` and `persistence/` work without HTTP;
`web/` has the aiohttp handlers. Channels and tasks do not belong here. Start with `state`.
"""

from __future__ import annotations

from phoenix_compat.emulator.clock import EmulatorClock
from phoenix_compat.emulator.faults.fault_table import FAULTS
from phoenix_compat.emulator.settings import EmulatorSettings
from phoenix_compat.emulator.state import EmulatorState
from phoenix_compat.emulator.web.app import build_emulator_app
from phoenix_compat.emulator.web.server import Emulator

__all__ = [
    "FAULTS",
    "Emulator",
    "EmulatorClock",
    "EmulatorSettings",
    "EmulatorState",
    "build_emulator_app",
]
