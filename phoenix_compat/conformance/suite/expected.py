"""Reads which cases a server is known to fail, so that only what is new is told.

# our server has no V1
join/ok/v1
longpoll/batch/ndjson longpoll   # over this transport only
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from phoenix_compat.conformance.suite.cases import TRANSPORTS, Case
from phoenix_compat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ExpectedFailures:
    """The entries of a file: ids alone, or ids with a transport."""

    entries: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def read(cls, path: Path, known: Iterable[Case]) -> ExpectedFailures:
        """Read a file.

        Args:
            known: every case there is, for any profile and transport.

        Raises:
            ConfigError: it cannot be read, or a line names no case; the text tells all of them.
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
            hint = f"write an id of `--list`, with {transports} behind it if you like"
            raise ConfigError("\n".join([*problems, hint]))
        return cls(frozenset(entries))

    def names(self, case: Case) -> bool:
        """Whether the case is expected to fail."""
        return case.id in self.entries or case.key in self.entries
