"""Reads a file of the cases that a server is known to fail.

# our server does not support V1
join/ok/v1
longpoll/batch/ndjson longpoll   # only over this transport
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from phoenix_compat.conformance.suite.cases import TRANSPORTS, Case
from phoenix_compat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ExpectedFailures:
    """The entries of a file: ids, or ids with a transport."""

    entries: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def read(cls, path: Path, known: Iterable[Case]) -> ExpectedFailures:
        """Read a file.

        Args:
            known: every case, for all profiles and transports.

        Raises:
            ConfigError: the file cannot be read, or lines name no case; the message lists them.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(
                f"cannot read the expected failures in {path}: {reason}; give a text file"
            ) from error
        names = {name for case in known for name in (case.id, case.key)}
        entries, problems = set(), []
        for number, line in enumerate(lines, start=1):
            entry = " ".join(line.partition("#")[0].split())
            if not entry:
                continue
            entries.add(entry)
            if entry not in names:
                problems.append(f"{path}:{number}: no case {entry!r}")
        if problems:
            transports = " or ".join(TRANSPORTS)
            hint = f"use an id from `--list`, optionally followed by {transports}"
            raise ConfigError("\n".join([*problems, hint]))
        return cls(frozenset(entries))

    def names(self, case: Case) -> bool:
        """Whether the case is expected to fail."""
        return case.id in self.entries or case.key in self.entries
