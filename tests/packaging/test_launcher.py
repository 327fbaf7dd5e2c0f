"""The launcher of the one-file executable, compiled with sanitizers, with small test bundles.

A memory or arithmetic error ends it with a report and an exit code other than 2.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import random
import runpy
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.operations.commands import ROOT

# ruff: noqa: S603 - the tests run programs that they have built

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(120)]

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
PROGRAM = '#!/bin/sh\n. "${0%/*}/_internal/link"\necho "ran $*"\n'
DAMAGED = "download it again"


@dataclass(frozen=True)
class LauncherHarness:
    """A folder in which executables are written and started.

    Attributes:
        head: the launcher.
        payload: the bundle as an archive.
    """

    folder: Path
    head: bytes
    payload: bytes
    joined: Any

    @property
    def whole(self) -> bytes:
        """The intact executable."""
        return bytes(self.joined(self.head, self.payload))

    @property
    def unpacked(self) -> list[Path]:
        """The folders that it has unpacked, with the temporary ones."""
        return sorted(path for home in (self.folder / "tmp").iterdir() for path in home.iterdir())

    def write(self, content: bytes) -> Path:
        """Write an executable with this content."""
        path = self.folder / "one-file"
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def start(self, content: bytes, **environment: str) -> subprocess.CompletedProcess[str]:
        """Write an executable, and run it to its end."""
        return subprocess.run(
            [str(self.write(content)), "a", "b"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(self.folder / "tmp"), **environment},
            check=False,
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The compiled launcher."""
    target = tmp_path_factory.mktemp("launcher") / "launcher"
    sources = [str(ROOT / "packaging" / name) for name in ("launcher.c", "payload.c")]
    subprocess.run(["cc", *SANITIZED, *WARNINGS, "-o", target, *sources, "-lz"], check=True)  # noqa: S607 - cc
    return target.read_bytes()


@pytest.fixture
def launcher(tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch) -> LauncherHarness:
    """A launcher with a small bundle: a program, a needed file, random data and a symbolic link."""
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    tar_gz: Any = runpy.run_path(str(ROOT / "packaging" / "archive.py"))["tar_gz"]
    joined: Any = runpy.run_path(str(ROOT / "packaging" / "bundle.py"))["joined"]

    bundle = tmp_path / "bundle"
    long_name = bundle / "_internal" / ("a" * 90) / ("b" * 90)
    long_name.mkdir(parents=True)
    (long_name / "noise").write_bytes(random.Random(7).randbytes(70_000))  # noqa: S311 - no secret
    (bundle / "_internal" / "needed").write_text("true\n")
    (bundle / "_internal" / "link").symlink_to("needed")
    (bundle / "empty").touch()
    (bundle / "phoenix-compat").write_text(PROGRAM)
    (bundle / "phoenix-compat").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    return LauncherHarness(tmp_path, head, tar_gz(bundle, "", 0), joined)


def has_run(finished: subprocess.CompletedProcess[str]) -> bool:
    return (finished.returncode, finished.stdout, finished.stderr) == (0, "ran a b\n", "")


def is_refused(finished: subprocess.CompletedProcess[str], reason: str = DAMAGED) -> bool:
    return finished.returncode == 2 and reason in finished.stderr


def test_it_unpacks_once_and_runs_the_program(launcher: LauncherHarness) -> None:
    """The second start uses the folder that the first has unpacked."""
    first = launcher.start(launcher.whole)
    (folder,) = launcher.unpacked
    unpacked_ns = folder.stat().st_ctime_ns
    second = launcher.start(launcher.whole)

    assert has_run(first)
    assert has_run(second)
    assert [path.stat().st_ctime_ns for path in launcher.unpacked] == [unpacked_ns]


def test_a_truncated_file_is_refused(launcher: LauncherHarness) -> None:
    """Truncated anywhere after the launcher, it does not run and leaves no files."""
    whole, length = launcher.whole, len(launcher.head)
    cuts = [*range(length, len(whole), 1999), *range(len(whole) - 41, len(whole))]

    results = [launcher.start(whole[:cut]) for cut in cuts]

    assert [result.stderr for result in results if not is_refused(result)] == []
    assert list((launcher.folder / "tmp").iterdir()) == []


def test_a_truncated_archive_is_refused(
    launcher: LauncherHarness,
) -> None:
    """With a part missing before the trailer, it does not run and removes what it has unpacked."""
    cuts = range(0, len(launcher.payload), 1999)

    results = [
        launcher.start(launcher.joined(launcher.head, launcher.payload[:cut])) for cut in cuts
    ]

    assert [result.stderr for result in results if not is_refused(result)] == []
    assert launcher.unpacked == []


def test_a_changed_bit_is_refused_or_changes_nothing(launcher: LauncherHarness) -> None:
    """In the archive and the trailer, only a few bits, such as those of a time, do not matter."""
    rng = random.Random(11)  # noqa: S311 - no secret
    whole, length = launcher.whole, len(launcher.head)
    places = [*rng.sample(range(length, len(whole)), 150), *range(length, length + 20)]
    places += range(len(whole) - 48, len(whole))

    results: list[subprocess.CompletedProcess[str]] = []
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << rng.randrange(8)
        results.append(launcher.start(bytes(broken)))

    unexpected = [result for result in results if not (has_run(result) or is_refused(result))]
    assert [result.stderr for result in unexpected] == []
    assert sum(map(is_refused, results)) > 150
    assert len(launcher.unpacked) == 1


@pytest.mark.parametrize("name", ["a\nb", "../x", "/x"])
def test_invalid_names_in_the_archive_are_refused(launcher: LauncherHarness, name: str) -> None:
    """Our own archives have no such names, and no file is created."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))

    result = launcher.start(launcher.joined(launcher.head, gzip.compress(packed.getvalue())))

    assert is_refused(result)
    assert launcher.unpacked == []


def test_concurrent_first_starts_share_one_folder(launcher: LauncherHarness) -> None:
    """One unpacks, the others wait for it."""
    path = launcher.write(launcher.whole)
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(launcher.folder / "tmp")}
    processes = [
        subprocess.Popen([path, "a", "b"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]

    printed = [process.communicate(timeout=60)[0] for process in processes]

    assert printed == ["ran a b\n"] * 6
    assert len(launcher.unpacked) == 1


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "a file is missing": lambda folder: (folder / "empty").unlink(),
    "a link is missing": lambda folder: (folder / "_internal" / "link").unlink(),
    "a file is truncated": lambda folder: (folder / "_internal" / "needed").write_text(""),
    "the list is truncated": lambda folder: (folder / ".files").write_text(""),
    "the list is invalid": lambda folder: (folder / ".files").write_text("nonsense\n12\n\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_folder_is_unpacked_again(launcher: LauncherHarness, damage: str) -> None:
    """The incomplete folder is replaced, and a temporary one left by SIGKILL is removed."""
    launcher.start(launcher.whole)
    (folder,) = launcher.unpacked
    DAMAGES[damage](folder)
    (folder.parent / "new-abcdef").mkdir()

    result = launcher.start(launcher.whole)

    assert has_run(result)
    assert launcher.unpacked == [folder]
    assert (folder / "_internal" / "needed").read_text() == "true\n"


def test_a_running_version_is_not_removed(launcher: LauncherHarness) -> None:
    """The folder of another version is removed only when its lock is free."""
    launcher.start(launcher.whole)
    (folder,) = launcher.unpacked
    other = folder.parent / "0123456789abcdef"
    other.mkdir()
    holder = os.open(other, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_SH)
    launcher.start(launcher.whole)
    while_locked = launcher.unpacked
    os.close(holder)
    launcher.start(launcher.whole)

    assert while_locked == sorted([folder, other])
    assert launcher.unpacked == [folder]


def refused_places(launcher: LauncherHarness) -> Sequence[tuple[str, str]]:
    folder = launcher.folder
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "link").mkdir()
    (folder / "link" / "phoenix-compat-0").symlink_to(folder / "open")
    (folder / "shared" / "phoenix-compat-0").mkdir(parents=True)
    (folder / "shared" / "phoenix-compat-0").chmod(0o775)
    return (
        ("open", "no sticky bit"),
        ("link", "Not a directory"),
        ("shared", "others may write to it"),
        ("missing", "No such file"),
    )


def test_a_place_that_others_can_write_to_is_skipped(launcher: LauncherHarness) -> None:
    """World-writable, a symbolic link or group-writable: the data directory is used instead. When
    that is not usable either, the error names both with the reasons."""
    (launcher.folder / "file").touch()
    for name, reason in refused_places(launcher):
        place = str(launcher.folder / name)

        in_data_directory = launcher.start(launcher.whole, TMPDIR=place)
        nowhere = launcher.start(launcher.whole, TMPDIR=place, PHOENIX_COMPAT_DATA_DIR="file/data")

        assert has_run(in_data_directory), in_data_directory.stderr
        assert is_refused(nowhere, reason), nowhere.stderr
        assert "file/data: Not a directory" in nowhere.stderr


def test_a_path_that_is_too_long_is_an_error(launcher: LauncherHarness) -> None:
    """The path is not truncated."""
    long = "/" + "x" * 4080

    result = launcher.start(launcher.whole, TMPDIR=long, PHOENIX_COMPAT_DATA_DIR=long)

    assert is_refused(result, "File name too long")
