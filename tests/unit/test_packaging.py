"""Packaging: the parts that can be tested without building."""

from __future__ import annotations

import gzip
import os
import re
import runpy
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks

# ruff: noqa: S603, S607 - the tests run ssh-keygen and the commands of our own page

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
UNIT = (PACKAGING / "systemd" / "phoenix-compat.service").read_text()
CHANGELOG = runpy.run_path(str(PACKAGING / "changelog.py"))
RELEASED = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-01-05\n\n- A thing.\n"


def test_an_archive_depends_on_nothing_but_the_files(tmp_path: Path) -> None:
    """Folders with the same content give the same archive.

    Order and time of creation do not matter.
    """
    tar_gz: Any = runpy.run_path(str(PACKAGING / "archive.py"))["tar_gz"]
    for number, names in enumerate((("a", "b"), ("b", "a"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in names:
            (folder / name).write_text(name)
            os.utime(folder / name, (number, number))
        (folder / "link").symlink_to("a")

    first, second = (tar_gz(tmp_path / str(number), "x/", 1_700_000_000) for number in range(2))

    assert first == second


def test_a_version_with_its_section_may_be_released() -> None:
    """A section with a date and an entry is enough."""
    CHANGELOG["check_changelog"](RELEASED, "1.2.0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RELEASED.replace("1.2.0", "1.1.0"), "no section"),
        (RELEASED.replace(" - 2026-01-05", ""), "no section"),
        (RELEASED.replace("- A thing.", "### Added"), "empty section for 1.2.0"),
        (RELEASED.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "under \\[Unreleased\\]"),
        (RELEASED.replace("[1.2.0] - 2026-01-05", "[Unreleased]"), "rename"),
    ],
    ids=["none", "no day", "empty", "more is unreleased", "not renamed"],
)
def test_a_version_without_its_section_may_not(text: str, said: str) -> None:
    """The error names CHANGELOG.md, what is wrong with it, and what to do."""
    with pytest.raises(CHANGELOG["ReleaseError"], match=f"CHANGELOG.*{said}"):
        CHANGELOG["check_changelog"](text, "1.2.0")


def test_a_first_release_needs_no_section_of_what_is_unreleased() -> None:
    """A file without [Unreleased] is valid too."""
    CHANGELOG["check_changelog"](RELEASED.replace("## [Unreleased]\n\n", ""), "1.2.0")


def test_the_unit_runs_commands_that_exist() -> None:
    """ExecStart and ExecStartPre name commands of the program, and systemd knows the directives."""
    from phoenix_compat.cli import cli  # noqa: PLC0415 - the only test here that needs it

    commands = re.findall(r"^Exec(?:Start|StartPre)=/usr/bin/phoenix-compat (\S+)", UNIT, re.M)

    assert len(commands) == 2
    assert set(commands) <= set(cli.commands)
    assert re.search(r"^Type=notify$", UNIT, re.M)
    assert re.search(r"^WatchdogSec=\d+$", UNIT, re.M)


def test_the_licence_is_named_alike_everywhere() -> None:
    """The metadata, the file, and what the .deb installs say the same words."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    title, copyright_line, terms = (ROOT / "LICENSE").read_text().split("\n\n", 2)
    copyright_file = (PACKAGING / "debian" / "copyright").read_text()
    # In a field of Debian's files each line is indented, and an empty one has a dot.
    in_field = re.sub(r"^ \.?", "", copyright_file.rpartition("License: Expat\n")[2], flags=re.M)

    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert title == "MIT License"
    assert copyright_line == "Copyright (c) 2026 the phoenix_compat authors"
    assert "Copyright: 2026 the phoenix_compat authors\n" in copyright_file
    assert in_field == terms


def test_the_copyright_file_can_be_read_by_machines() -> None:
    """Paragraphs of fields, as Debian's copyright-format 1.0 has them: header, files, licence."""
    paragraphs = (PACKAGING / "debian" / "copyright").read_text().split("\n\n")
    fields = [re.findall(r"^([A-Z][\w-]+):", paragraph, re.M) for paragraph in paragraphs]

    assert fields == [
        ["Format", "Upstream-Name", "Comment"],
        ["Files", "Copyright", "License"],
        ["License"],
    ]
    assert all(re.match(r"[A-Z ]", line) for text in paragraphs for line in text.splitlines())


def test_the_bundle_has_the_licences_of_everything_in_it() -> None:
    """Of Python, of each package that the program needs, and of those for browsers: their texts."""
    components = runpy.run_path(str(PACKAGING / "components.py"))

    files = list(components["licence_files"]())
    packages = set(components["requirements"]()) - {"phoenix-compat"}

    assert {"pyjwt", "cryptography", "aiohttp", "cffi"} <= packages
    folders = {folder.split("/")[1] for _, folder in files}
    assert {one for one in folders if not one.startswith("npm-")} == {"python", *packages}
    assert {"npm-swagger-ui-dist", "npm-phoenix", "npm-picocss-pico"} <= folders
    assert all(file.stat().st_size for file, _ in files)
    assert len({(file.name, folder) for file, folder in files}) == len(files)


def test_a_package_without_a_licence_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it."""
    components = runpy.run_path(str(PACKAGING / "components.py"))
    monkeypatch.setattr("importlib.metadata.files", lambda _name: [])

    with pytest.raises(LookupError, match="aiohappyeyeballs brings no licence"):
        list(components["licence_files"]())


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, its SHA256SUMS, the signature, and the public key; the key is new."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    monkeypatch.syspath_prepend(str(PACKAGING))
    release = runpy.run_path(str(PACKAGING / "release.py"))
    folder = tmp_path / "download"
    folder.mkdir()
    (folder / "phoenix-compat").write_text("the program")
    key = new_key(tmp_path / "release")
    (folder / "release.pub").write_text(key.with_suffix(".pub").read_text())
    release["write_sums"]([folder / "phoenix-compat"], folder / "SHA256SUMS")
    release["check_key"](key)
    release["sign_sums"](folder / "SHA256SUMS", key)
    return folder


def new_key(path: Path) -> Path:
    """Make a key that has no passphrase."""
    make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    subprocess.run(make, check=True)
    return path


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands of the page on deployment in a folder with a download."""
    page = (ROOT / "docs" / "deploy.md").read_text()
    commands = next(block for block in blocks(page, "sh") if "-Y verify" in block)
    return subprocess.run(
        ["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_signed_release_is_verified_with_the_commands_of_the_page(signed: Path) -> None:
    """They print what the page says."""
    verified = verify(signed)

    assert verified.returncode == 0, verified.stderr
    assert 'Good "file" signature for maintainers' in verified.stdout
    assert "phoenix-compat: OK" in verified.stdout


FORGERIES: dict[str, Callable[[Path], object]] = {
    "the file": lambda folder: (folder / "phoenix-compat").write_text("another program"),
    "the sums": lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  phoenix-compat\n"),
    "the signature": lambda folder: (folder / "SHA256SUMS.sig").write_text("nothing"),
    "the key": lambda folder: (folder / "release.pub").write_text(
        new_key(folder / "other").with_suffix(".pub").read_text()
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_release_is_not_verified(signed: Path, what: str) -> None:
    """A changed file, changed sums, a broken signature and a foreign key: a command fails."""
    FORGERIES[what](signed)

    assert verify(signed).returncode != 0


def test_a_signature_for_something_else_is_not_accepted(signed: Path) -> None:
    """A maintainer's key also signs commits and logins."""
    (signed / "SHA256SUMS.sig").unlink()
    sign = ("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", signed.parent / "release")
    subprocess.run([*sign, signed / "SHA256SUMS"], check=True, capture_output=True)

    assert verify(signed).returncode != 0


def test_new_sums_have_no_old_signature(signed: Path) -> None:
    """A signature of an earlier release would be published otherwise."""
    write_sums = runpy.run_path(str(PACKAGING / "release.py"))["write_sums"]

    write_sums([signed / "phoenix-compat"], signed / "SHA256SUMS")

    assert not (signed / "SHA256SUMS.sig").exists()


def test_a_key_that_cannot_be_used_is_refused_before_the_build(signed: Path) -> None:
    """A missing one, and one inside the repository. One that ssh-keygen refuses is an error later,
    with its message."""
    signing = runpy.run_path(str(PACKAGING / "signing.py"))
    (signed / "no-key").write_text("nothing")

    for key, reason in ((signed / "none", "there is no key"), (ROOT / "LICENSE", "elsewhere")):
        with pytest.raises(signing["SigningError"], match=reason):
            signing["check_key"](key)
    with pytest.raises(signing["SigningError"], match="did not sign"):
        signing["sign_sums"](signed / "SHA256SUMS", signed / "no-key")


def test_the_deb_has_man_pages_and_completions(tmp_path: Path) -> None:
    """A man page for each command, with whole sentences, and the same bytes each time."""
    from phoenix_compat.cli import cli  # noqa: PLC0415 - imports all commands

    manual: Any = runpy.run_path(str(PACKAGING / "manual.py"))
    for name in ("one", "two"):
        manual["write_manual"](tmp_path / name, "1.2.3", 1_767_571_200)
    one, two = (tmp_path / name for name in ("one", "two"))
    pages = {path.name: gzip.decompress(path.read_bytes()).decode() for path in one.rglob("*.gz")}
    files = {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()}

    assert files == {path: (two / path).read_bytes() for path in files}
    assert {f"phoenix-compat-{name}.1.gz" for name in cli.commands} <= set(pages)
    assert {"phoenix-compat.1.gz", "phoenix-compat-task-list.1.gz"} <= set(pages)
    assert "2026-01-05" in pages["phoenix-compat.1.gz"]
    assert [name for name, text in pages.items() if re.search(r"[a-z,]\.\.\.$", text, re.M)] == []
    assert set(manual["COMPLETIONS"].values()) <= set(files)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_takes_the_pages(tmp_path: Path) -> None:
    """It formats them without a warning."""
    manual: Any = runpy.run_path(str(PACKAGING / "manual.py"))
    manual["write_manual"](tmp_path, "1.2.3", 1_767_571_200)
    page = tmp_path / manual["MAN_PAGES"] / "phoenix-compat-task-watch.1.gz"

    shown = subprocess.run(
        ["man", "--warnings", "-l", str(page)],
        env={**os.environ, "MANWIDTH": "80", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Show the progress of TASK_ID, or of the newest task" in " ".join(shown.stdout.split())
    assert shown.stderr == ""
