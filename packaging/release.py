"""Builds a release: wheel, sdist, one-file executable, .tar.gz, .deb, SBOM and SHA256SUMS.

    python packaging/release.py [--check] [--sign KEY] [FOLDER]

All timestamps are that of the last commit (or SOURCE_DATE_EPOCH), so that the same commit and the
same tools give the same bytes.
"""

# ruff: noqa: S603 - all commands are literals in this file

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from bundle import ROOT, build_all, last_commit_s, version
from changelog import ReleaseError, check_changelog
from sbom import bill_of_materials
from signing import SigningError, check_key, sign_sums, signature_of


def build_python(folder: Path, epoch_s: int) -> list[Path]:
    """Build the wheel and the sdist. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-d",
            str(folder),
            "-t",
            "sdist",
            "-t",
            "wheel",
        ],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)},
    )
    name = f"phoenix_compat-{version()}"
    return [folder / f"{name}.tar.gz", folder / f"{name}-py3-none-any.whl"]


def write_sums(files: list[Path], target: Path) -> None:
    """Write a file for `sha256sum --check`. A signature of an earlier one is removed."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(files)
    ]
    signature_of(target).unlink(missing_ok=True)
    target.write_text("".join(lines))


def main() -> None:
    """Check the changelog, then build."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    parser.add_argument(
        "--check", action="store_true", help="only check whether a release is possible"
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign SHA256SUMS with this SSH key"
    )
    options = parser.parse_args()
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(), version())
        if options.sign is not None:
            check_key(options.sign)
    except (ReleaseError, SigningError) as error:
        raise SystemExit(f"Error: {error}") from error
    if options.check:
        return
    epoch_s = last_commit_s()
    files = [*build_python(options.folder, epoch_s), *build_all(options.folder, epoch_s)]
    sbom_path = options.folder / f"phoenix-compat-{version()}.cdx.json"
    sbom_path.write_text(bill_of_materials(version(), epoch_s))
    sums = options.folder / "SHA256SUMS"
    write_sums([*files, sbom_path], sums)
    if options.sign is not None:
        try:
            sign_sums(sums, options.sign)
        except SigningError as error:
            raise SystemExit(f"Error: {error}") from error


if __name__ == "__main__":
    main()
