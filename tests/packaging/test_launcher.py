"""The launcher of the one-file executable, compiled with sanitizers, with small test bundles.

A memory or arithmetic error ends it with a report and an exit code other than 2.
"""

from __future__ import annotations

import ctypes
import fcntl
import gzip
import io
import os
import random
import runpy
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
STRANGER = 4711
AT_FDCWD, RENAME_EXCHANGE = -100, 2


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


def link_to_copy(path: Path) -> None:
    """Move a file or folder out of the unpacked ones, and put a symbolic link in its place."""
    home = next(parent for parent in path.parents if parent.name == "phoenix-compat-0")
    elsewhere = home.parents[1] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def link_of_the_same_size(path: Path) -> None:
    """Replace a file of five bytes by a link to a name of five letters."""
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "another user owns a file": lambda folder: os.chown(folder / "phoenix-compat", STRANGER, -1),
    "another user owns a folder": lambda folder: os.chown(folder / "_internal", STRANGER, -1),
    "another user owns the list": lambda folder: os.chown(folder / ".files", STRANGER, -1),
    "others may write to a file": lambda folder: (folder / "phoenix-compat").chmod(0o722),
    "the group may write to a file": lambda folder: (folder / "_internal/needed").chmod(0o620),
    "others may write to a folder": lambda folder: (folder / "_internal").chmod(0o722),
    "others may look into it": lambda folder: folder.chmod(0o755),
    "a file has a second name": lambda folder: os.link(folder / "empty", folder.parent / "again"),
    "a file is a link": lambda folder: link_of_the_same_size(folder / "_internal/needed"),
    "a folder is a link": lambda folder: link_to_copy(folder / "_internal"),
    "it is a link": link_to_copy,
    "it is a file": replace_by_file,
    "the list is a pipe": lambda folder: replace_by_pipe(folder / ".files"),
    "a file is missing": lambda folder: (folder / "empty").unlink(),
    "a link is missing": lambda folder: (folder / "_internal" / "link").unlink(),
    "a file is truncated": lambda folder: (folder / "_internal" / "needed").write_text(""),
    "the list is truncated": lambda folder: (folder / ".files").write_text(""),
    "the list is invalid": lambda folder: (folder / ".files").write_text("nonsense\n12\n\n"),
    "the list has an empty line": lambda folder: (folder / ".files").write_text("\n"),
    "the list has an unknown type": lambda folder: (folder / ".files").write_text("1 5 empty\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_incomplete_folder_is_unpacked_again(launcher: LauncherHarness, damage: str) -> None:
    """The incomplete folder is replaced, and a temporary one left by SIGKILL is removed."""
    launcher.start(launcher.whole)
    (folder,) = launcher.unpacked
    unpacked_first = folder.stat().st_ino
    DAMAGES[damage](folder)
    (folder.parent / "new-abcdef").mkdir()

    result = launcher.start(launcher.whole)

    assert has_run(result)
    assert [path for path in launcher.unpacked if path.is_dir()] == [folder]
    assert folder.stat().st_ino != unpacked_first
    assert not (folder / "_internal").is_symlink()
    assert (folder / "_internal" / "needed").read_text() == "true\n"
    assert (folder / "phoenix-compat").stat().st_uid == os.geteuid()


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
    for name in ("foreign", "foreign-sticky", "group", "open-above/inner", "foreign-above/inner"):
        (folder / name).mkdir(parents=True)
    (folder / "foreign-sticky").chmod(0o1777)
    (folder / "open-above").chmod(0o777)
    for name in ("foreign", "foreign-sticky", "foreign-above"):
        os.chown(folder / name, STRANGER, -1)
    os.chown(folder / "group", -1, STRANGER)
    (folder / "group").chmod(0o775)
    (folder / "theirs" / "phoenix-compat-0").mkdir(parents=True)
    os.chown(folder / "theirs" / "phoenix-compat-0", STRANGER, -1)
    (folder / "to-foreign").symlink_to(folder / "foreign")
    (folder / "not-a-folder").touch()
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
        ("foreign", "foreign belongs to another user"),
        ("foreign-sticky", "foreign-sticky belongs to another user"),
        ("group", "group, and it has no sticky bit"),
        ("open-above/inner", "open-above, and it has no sticky bit"),
        ("foreign-above/inner", "foreign-above belongs to another user"),
        ("theirs", "phoenix-compat-0 belongs to another user"),
        ("to-foreign", "foreign belongs to another user"),
        ("not-a-folder", "Not a directory"),
    )


def test_a_place_that_others_can_write_to_is_skipped(launcher: LauncherHarness) -> None:
    """World-writable, group-writable, a symbolic link or of another user, the place itself or a
    folder above it: the data directory is used instead. When that is not usable either, the error
    names both with the reasons."""
    (launcher.folder / "file").touch()
    for name, reason in refused_places(launcher):
        place = str(launcher.folder / name)

        in_data_directory = launcher.start(launcher.whole, TMPDIR=place)
        nowhere = launcher.start(launcher.whole, TMPDIR=place, PHOENIX_COMPAT_DATA_DIR="file/data")

        assert has_run(in_data_directory), in_data_directory.stderr
        assert is_refused(nowhere, reason), nowhere.stderr
        assert "file/data: Not a directory" in nowhere.stderr


def test_a_folder_that_is_swapped_while_it_starts_never_runs(launcher: LauncherHarness) -> None:
    """The unpack folder, or that of the version in it, is exchanged for a foreign one again and
    again: the program that runs is always ours."""
    launcher.start(launcher.whole)
    (bundle,) = launcher.unpacked
    foreign = launcher.folder / "foreign"
    (foreign / bundle.name / "_internal").mkdir(parents=True)
    (foreign / bundle.name / "phoenix-compat").write_text("#!/bin/sh\necho foreign\n")
    (foreign / bundle.name / "phoenix-compat").chmod(0o755)
    shutil.copy(bundle / ".files", foreign / bundle.name)
    for path in (foreign, *foreign.rglob("*")):
        os.chown(path, STRANGER, -1)

    results: list[subprocess.CompletedProcess[str]] = []
    for ours, theirs in ((bundle.parent, foreign), (bundle, foreign / bundle.name)):
        with swapping(ours, theirs) as swaps:
            results += [launcher.start(launcher.whole) for _ in range(60)]
        assert swaps.count > 100

    assert [one.stdout for one in results if "foreign" in one.stdout] == []
    assert any(map(has_run, results))
    assert [one for one in results if not (has_run(one) or one.returncode == 2)] == []


class Swaps:
    """How often two folders were exchanged."""

    count = 0


@contextmanager
def swapping(first: Path, second: Path) -> Iterator[Swaps]:
    """Exchange two folders from a thread until the block ends, an even number of times."""
    libc = ctypes.CDLL(None, use_errno=True)
    swaps, stop = Swaps(), threading.Event()
    names = (os.fsencode(first), os.fsencode(second))

    def swap() -> None:
        while not stop.is_set() or swaps.count % 2:
            done = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0
            swaps.count += done
            if not done and stop.is_set():
                return

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swaps
    finally:
        stop.set()
        thread.join()


IN_ITS_OWN_TMP = (
    "mount -t tmpfs -o mode=1777 tmpfs /tmp && ./one-file a b; code=$?; ls /tmp; exit $code"
)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TMPDIR": ""},
        {"TMPDIR": "relative"},
        {"TMPDIR": "../.."},
        {"HOME": "relative", "XDG_CACHE_HOME": "relative", "XDG_RUNTIME_DIR": "/nonexistent"},
    ],
    ids=str,
)
def test_only_an_absolute_temp_directory_counts(
    launcher: LauncherHarness, environment: dict[str, str]
) -> None:
    """Otherwise it is /tmp; home and cache directories have no influence."""
    launcher.write(launcher.whole)

    finished = subprocess.run(
        ["unshare", "-m", "sh", "-c", IN_ITS_OWN_TMP],  # noqa: S607 - found by the PATH below
        capture_output=True,
        text=True,
        cwd=launcher.folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        check=False,
    )

    assert (finished.stdout, finished.stderr) == ("ran a b\nphoenix-compat-0\n", "")
    assert not (launcher.folder / "relative").exists()


def test_a_data_directory_is_created_for_its_owner_alone(launcher: LauncherHarness) -> None:
    """With its parents, whatever the umask, like that of the server."""
    before = os.umask(0)
    try:
        result = launcher.start(
            launcher.whole, TMPDIR="/nonexistent", PHOENIX_COMPAT_DATA_DIR="new/data"
        )
    finally:
        os.umask(before)
    new = launcher.folder / "new"

    assert has_run(result), result.stderr
    made = (new, *(path for path in new.rglob("*") if not path.is_symlink()))
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
    assert len(list((new / "data" / ".program").iterdir())) == 1


def test_a_leftover_of_a_killed_start_is_replaced(launcher: LauncherHarness) -> None:
    """A half unpacked folder, or anything else of that name, is removed first."""
    home = launcher.folder / "tmp" / "phoenix-compat-0"
    for leave in (Path.touch, Path.mkdir):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True, mode=0o700)
        leave(home / "new")
        if (home / "new").is_dir():
            (home / "new" / "phoenix-compat").write_text("half")

        result = launcher.start(launcher.whole)

        assert has_run(result), result.stderr
        assert len(launcher.unpacked) == 1


def test_a_path_that_is_too_long_is_an_error(launcher: LauncherHarness) -> None:
    """The path is not truncated."""
    long = "/" + "x" * 4080

    result = launcher.start(launcher.whole, TMPDIR=long, PHOENIX_COMPAT_DATA_DIR=long)

    assert is_refused(result, "File name too long")
