"""The launcher of the one file, compiled with sanitizers, before small bundles of our own.

What is wrong with memory or arithmetic ends it with a report and another exit code than 2.
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

# ruff: noqa: S603 - what is run was built here

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(120)]

SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
PROGRAM = '#!/bin/sh\n. "${0%/*}/_internal/link"\necho "ran $*"\n'
DAMAGED = "download it again"


@dataclass(frozen=True)
class Scene:
    """A folder to start executables in.

    Attributes:
        head: the launcher. payload: the bundle as an archive.
    """

    folder: Path
    head: bytes
    payload: bytes
    joined: Any

    @property
    def whole(self) -> bytes:
        """The healthy file."""
        return bytes(self.joined(self.head, self.payload))

    @property
    def homes(self) -> list[Path]:
        """What is in the folder that it unpacks into."""
        return sorted(path for home in (self.folder / "tmp").iterdir() for path in home.iterdir())

    def write(self, content: bytes) -> Path:
        """An executable of this content."""
        path = self.folder / "one-file"
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def start(self, content: bytes, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
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
def scene(tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A small bundle: a program, a file in a folder that is needed, noise, a symbolic link."""
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
    return Scene(tmp_path, head, tar_gz(bundle, "", 0), joined)


def has_run(finished: subprocess.CompletedProcess[str]) -> bool:
    return (finished.returncode, finished.stdout, finished.stderr) == (0, "ran a b\n", "")


def is_refused(finished: subprocess.CompletedProcess[str], reason: str = DAMAGED) -> bool:
    return finished.returncode == 2 and reason in finished.stderr


def test_it_unpacks_once_and_becomes_the_program(scene: Scene) -> None:
    """The second start finds what the first unpacked."""
    first = scene.start(scene.whole)
    (folder,) = scene.homes
    unpacked_ns = folder.stat().st_ctime_ns
    second = scene.start(scene.whole)

    assert has_run(first)
    assert has_run(second)
    assert [path.stat().st_ctime_ns for path in scene.homes] == [unpacked_ns]


def test_a_file_that_was_cut_off_anywhere_is_refused(scene: Scene) -> None:
    """From the launcher's end to the last byte but one; nothing of it stays behind."""
    whole, length = scene.whole, len(scene.head)
    cuts = [*range(length, len(whole), 1999), *range(len(whole) - 41, len(whole))]

    results = [scene.start(whole[:cut]) for cut in cuts]

    assert [result.stderr for result in results if not is_refused(result)] == []
    assert list((scene.folder / "tmp").iterdir()) == []


def test_an_archive_that_was_cut_off_before_its_trailer_is_refused(scene: Scene) -> None:
    """As when a part in the middle of a download is missing; what was unpacked of it goes."""
    cuts = range(0, len(scene.payload), 1999)

    results = [scene.start(scene.joined(scene.head, scene.payload[:cut])) for cut in cuts]

    assert [result.stderr for result in results if not is_refused(result)] == []
    assert scene.homes == []


def test_a_changed_bit_is_refused_or_changes_nothing(scene: Scene) -> None:
    """Of the archive and the trailer: only some bits, such as a time's, are of no account."""
    dice = random.Random(11)  # noqa: S311 - no secret
    whole, length = scene.whole, len(scene.head)
    places = [*dice.sample(range(length, len(whole)), 150), *range(length, length + 20)]
    places += range(len(whole) - 48, len(whole))

    results: list[subprocess.CompletedProcess[str]] = []
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << dice.randrange(8)
        results.append(scene.start(bytes(broken)))

    odd = [result for result in results if not (has_run(result) or is_refused(result))]
    assert [result.stderr for result in odd] == []
    assert sum(map(is_refused, results)) > 150
    assert len(scene.homes) == 1


@pytest.mark.parametrize("name", ["a\nb", "../x", "/x"])
def test_names_that_do_not_belong_in_a_bundle_are_refused(scene: Scene, name: str) -> None:
    """They cannot come from our own archive, and none is made."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))

    result = scene.start(scene.joined(scene.head, gzip.compress(packed.getvalue())))

    assert is_refused(result)
    assert scene.homes == []


def test_several_first_starts_at_once_share_one_folder(scene: Scene) -> None:
    """One unpacks, the others wait for it."""
    path = scene.write(scene.whole)
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(scene.folder / "tmp")}
    processes = [
        subprocess.Popen([path, "a", "b"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]

    printed = [process.communicate(timeout=60)[0] for process in processes]

    assert printed == ["ran a b\n"] * 6
    assert len(scene.homes) == 1


SPOILED: Mapping[str, Callable[[Path], object]] = {
    "a file is missing": lambda folder: (folder / "empty").unlink(),
    "a link is missing": lambda folder: (folder / "_internal" / "link").unlink(),
    "a file was cut off": lambda folder: (folder / "_internal" / "needed").write_text(""),
    "the list was cut off": lambda folder: (folder / ".files").write_text(""),
    "the list is nonsense": lambda folder: (folder / ".files").write_text("nonsense\n12\n\n"),
}


@pytest.mark.parametrize("way", SPOILED)
def test_what_is_not_whole_is_unpacked_again(scene: Scene, way: str) -> None:
    """And the old folder, which nobody runs from, goes; as does one that a SIGKILL left."""
    scene.start(scene.whole)
    (folder,) = scene.homes
    SPOILED[way](folder)
    (folder.parent / "new-abcdef").mkdir()

    result = scene.start(scene.whole)

    assert has_run(result)
    assert scene.homes == [folder]
    assert (folder / "_internal" / "needed").read_text() == "true\n"


def test_what_is_run_from_is_left_alone(scene: Scene) -> None:
    """Another version that holds its folder's lock keeps it; once it has ended, the folder goes."""
    scene.start(scene.whole)
    (folder,) = scene.homes
    other = folder.parent / "0123456789abcdef"
    other.mkdir()
    holder = os.open(other, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_SH)
    scene.start(scene.whole)
    kept = scene.homes
    os.close(holder)
    scene.start(scene.whole)

    assert kept == sorted([folder, other])
    assert scene.homes == [folder]


def refused_places(scene: Scene) -> Sequence[tuple[str, str]]:
    folder = scene.folder
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


def test_a_place_where_others_could_put_files_is_passed_over(scene: Scene) -> None:
    """Open to all, reached by a link, written by a group: the data directory serves instead; and
    when that will not do either, both are told with their reasons."""
    (scene.folder / "file").touch()
    for name, reason in refused_places(scene):
        place = str(scene.folder / name)

        beside = scene.start(scene.whole, TMPDIR=place)
        nowhere = scene.start(scene.whole, TMPDIR=place, PHOENIX_COMPAT_DATA_DIR="file/data")

        assert has_run(beside), beside.stderr
        assert is_refused(nowhere, reason), nowhere.stderr
        assert "file/data: Not a directory" in nowhere.stderr


def test_a_path_that_is_too_long_is_told(scene: Scene) -> None:
    """It is not cut short."""
    long = "/" + "x" * 4080

    result = scene.start(scene.whole, TMPDIR=long, PHOENIX_COMPAT_DATA_DIR=long)

    assert is_refused(result, "File name too long")
