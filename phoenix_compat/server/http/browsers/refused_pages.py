"""Tells the operator that a page was refused: the first time in a warning, then in debug lines."""

from __future__ import annotations

from typing import Final

import structlog

MAX_ORIGINS: Final = 50
"""The limit of warnings. Anybody can send origins, so refusals of further ones are debug lines."""

_MAX_ORIGIN_CHARS: Final = 200

log = structlog.stdlib.get_logger(__name__)


class RefusedPages:
    """Logs refusals; remembers the origins that were in a warning."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def log(self, origin: str | None, status: int, reason: str) -> None:
        """Log a refusal.

        Args:
            origin: the request's `Origin`; None without one, which no warning is about.
            reason: for people, with the setting that would allow the page.
        """
        name = "" if origin is None else ascii(origin)[:_MAX_ORIGIN_CHARS]
        if origin is None or name in self._warned or len(self._warned) >= MAX_ORIGINS:
            log.debug("browser.refused", status=status, reason=reason)
            return
        self._warned.add(name)
        log.warning("browser.refused", status=status, origin=name, reason=reason)
