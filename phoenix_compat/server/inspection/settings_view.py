"""Shows every setting: its value without secrets, its origin, and what a reload would change."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.inspection.operator_tools import OperatorTools
from phoenix_compat.server.process.config.reload import CHANGEABLE
from phoenix_compat.server.process.settings import Settings, variables
from phoenix_compat.server.process.settings.configuration import DEFAULT, Configuration, shown

_SUFFIX: Final = "Settings"
_MAX_VALUE_CHARS: Final = 2_000


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting.

    Attributes:
        group: what it is about.
        value: the one in force, as text; secrets are masked.
        origin: "default", "flag --port", "variable PORT" or "file PATH"; None if it is not known.
        variable: its name in the environment.
        reloads: whether a reload applies a change; otherwise it needs a restart.
        pending: the value that the configuration has now, if it is another one.
    """

    name: str
    group: str
    value: str
    origin: str | None
    variable: str
    description: str
    reloads: bool
    pending: str | None = None


class SettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """All settings.

    Attributes:
        file: the configuration file, if there is one.
        error: why the configuration cannot be read now; a reload would be refused.
    """

    settings: list[Setting]
    file: str | None
    error: str = ""


async def settings_view(running: Settings, tools: OperatorTools | None) -> SettingsView:
    """All settings in force, beside the configuration as it is now.

    Args:
        tools: None for a server that was not started by the command; then the origins are unknown.
    """
    found: Configuration | None = None
    error = ""
    if tools is not None:
        try:
            found = await asyncio.to_thread(tools.load)
        except ConfigError as refused:
            error = live_secrets.redacted(str(refused))
    groups = _groups()
    return SettingsView(
        settings=[_setting(name, groups, running, found) for name in Settings.model_fields],
        file=None if found is None or found.file is None else str(found.file),
        error=error,
    )


def _setting(
    name: str, groups: Mapping[str, str], running: Settings, found: Configuration | None
) -> Setting:
    value = getattr(running, name)
    is_changed = found is not None and getattr(found.settings, name) != value
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    if found is not None:
        origin: str | None = found.origins[name]
    else:
        origin = DEFAULT if value == default else None
    return Setting(
        name=name,
        group=groups[name],
        value=_text(name, value),
        origin=origin,
        variable=variables(name)[0],
        description=Settings.model_fields[name].description or "",
        reloads=name in CHANGEABLE,
        pending=_text(name, getattr(found.settings, name)) if found and is_changed else None,
    )


def _text(name: str, value: Any) -> str:
    text = live_secrets.redacted(shown(name, value))
    return text if len(text) <= _MAX_VALUE_CHARS else text[:_MAX_VALUE_CHARS] + "…"


def _groups() -> dict[str, str]:
    """The subject of each setting: the name of the class that has it."""
    groups: dict[str, str] = {}
    for base in reversed(Settings.__mro__):
        for name in inspect.get_annotations(base):
            if name in Settings.model_fields:
                groups[name] = base.__name__.removesuffix(_SUFFIX)
    return groups
