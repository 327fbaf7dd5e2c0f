"""What CHANGELOG.md must say before a version is released."""

from __future__ import annotations

import re


class ReleaseError(Exception):
    """This cannot be released as it is; the text says what to do."""


def check_changelog(text: str, wanted: str) -> None:
    """A release has its section, with a day, and says something.

    Raises:
        ReleaseError: it has not.
    """
    found = re.search(
        rf"^## \[{re.escape(wanted)}\] - (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", text, re.M | re.S
    )
    if found is None:
        raise ReleaseError(
            f'CHANGELOG.md has no section "## [{wanted}] - YYYY-MM-DD": rename [Unreleased], and '
            "begin a new one above it; or set another version in phoenix_compat/version.py"
        )
    if not re.search(r"^- ", found.group(2), re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md says nothing about {wanted}")
