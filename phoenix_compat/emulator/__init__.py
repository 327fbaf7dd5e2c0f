"""Replicate's HTTP API, emulated: for the demo without a token, and for tests with faults.

Two layers: pure modules here (clock, prediction, catalog, faults, picture), and in `web/` the
thin aiohttp side. It knows nothing of channels or tasks.
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
