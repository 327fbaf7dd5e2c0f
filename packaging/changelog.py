"""Checks that CHANGELOG.md is ready for a release."""

from __future__ import annotations

import re


class ReleaseError(Exception):
    """A release is not possible; the text says what to do."""


def check_changelog(text: str, wanted: str) -> None:
    """Check that the version has a dated section with entries, and that [Unreleased] is empty.

    Raises:
        ReleaseError: one of these is not the case.
    """
    unreleased = re.search(r"^## \[Unreleased\](.*?)(?=^## |\Z)", text, re.M | re.S)
    if unreleased is not None and _has_entries(unreleased.group(1)):
        raise ReleaseError(
            "CHANGELOG.md has entries under [Unreleased]: move them to the section of "
            f'{wanted}, or rename [Unreleased] to "[{wanted}] - YYYY-MM-DD" and add an empty '
            "[Unreleased] above it"
        )
    found = re.search(
        rf"^## \[{re.escape(wanted)}\] - (\d{{4}}-\d\d-\d\d)\n(.*?)(?=^## |\Z)", text, re.M | re.S
    )
    if found is None:
        raise ReleaseError(
            f'CHANGELOG.md has no section "## [{wanted}] - YYYY-MM-DD": rename [Unreleased] '
            "and add a new one above it, or set another version in phoenix_compat/version.py"
        )
    if not _has_entries(found.group(2)):
        raise ReleaseError(f"CHANGELOG.md has an empty section for {wanted}: describe the changes")


def _has_entries(section: str) -> bool:
    """True when the section has more than headings."""
    return any(line.strip() and not line.startswith("#") for line in section.splitlines())
