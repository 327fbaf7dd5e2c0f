"""Operator tools for tests: what a test does not give does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from phoenix_compat.operations.frame_checks import FrameChecks
from phoenix_compat.server.inspection.operator_tools import Finding, OperatorTools, Progress
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import Configuration, load_configuration


async def _examine(_found: Configuration) -> AsyncIterator[Finding]:
    none: tuple[Finding, ...] = ()
    for finding in none:
        yield finding


def _back_up(_settings: Settings, _out: Path, _progress: Progress) -> str:
    return ""


def tools_of(
    load: Callable[[], Configuration] = lambda: load_configuration({}, None, {}),
    back_up: Callable[[Settings, Path, Progress], str] = _back_up,
) -> OperatorTools:
    """Tools with these functions."""
    return OperatorTools(
        load=load,
        examine=_examine,
        back_up=back_up,
        check_frames=lambda is_v1: FrameChecks(is_v1=is_v1),
    )
