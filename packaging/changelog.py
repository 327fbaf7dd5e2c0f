"""What CHANGELOG.md must say before a version is released."""

from __future__ import annotations

import re


class ReleaseError(Exception):
    """This cannot be released as it is; the text says what to do."""


def check_changelog(text: str, wanted: str) -> None:
    """A release has its section, with a day, and says something; nothing is left unreleased.

    Raises:
        ReleaseError: it is not so.
    """
    unreleased = re.search(r"^## \[Unreleased\](.*?)(?=^## |\Z)", text, re.M | re.S)
    if unreleased is not None and _says_something(unreleased.group(1)):
        raise ReleaseError(
            "CHANGELOG.md has lines under [Unreleased], which would be released and stand in no "
            f"section: move them into that of {wanted}, or rename [Unreleased] to "
            f'"[{wanted}] - YYYY-MM-DD" and begin an empty one above it'
        )
    found = re.search(
        rf"^## \[{re.escape(wanted)}\] - (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", text, re.M | re.S
    )
    if found is None:
        raise ReleaseError(
            f'CHANGELOG.md has no section "## [{wanted}] - YYYY-MM-DD": rename [Unreleased], and '
            "begin a new one above it; or set another version in phoenix_compat/version.py"
        )
    if not _says_something(found.group(2)):
        raise ReleaseError(f"CHANGELOG.md says nothing about {wanted}")


def _says_something(section: str) -> bool:
    """Whether there is more than headings."""
    return any(line.strip() and not line.startswith("#") for line in section.splitlines())
