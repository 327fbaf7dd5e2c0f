"""Files on their way in, and the names they get."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.content_store import ContentStore, ContentStoreLimits
from phoenix_compat.tasks.archive.errors import (
    ArchiveError,
    ArchiveFolderError,
    ArchiveFullError,
    disk_errors,
)
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.stored_file import StoredFile, stored_file
from phoenix_compat.tasks.model.clock import SystemClock

LIMITS = ContentStoreLimits(max_total_bytes=None, min_free_bytes=0, grace_s=0.0)
PNG = TYPES_BY_EXTENSION["png"]


def a_shelf(folder: Path) -> ContentStore:
    """A content store that is open."""
    content_store = ContentStore(folder, LIMITS, SystemClock())
    content_store.open()
    return content_store


def an_incoming(folder: Path) -> IncomingFile:
    """A file for which there is room."""
    return IncomingFile(folder, lambda _more_bytes: None)


def test_a_file_is_hashed_as_it_comes(tmp_path: Path) -> None:
    """In blocks of any size, with its beginning remembered."""
    incoming = an_incoming(tmp_path)

    incoming.write(b"a" * 4_000)
    incoming.write(b"b" * 4_000)

    content = b"a" * 4_000 + b"b" * 4_000
    assert (incoming.sha256, incoming.size_bytes) == (hashlib.sha256(content).hexdigest(), 8_000)
    assert incoming.head == content[:4_096]
    incoming.discard()


def test_a_file_can_begin_anew(tmp_path: Path) -> None:
    """After a broken connection nothing of the first try is left, also when there was none."""
    incoming = an_incoming(tmp_path)
    incoming.rewind()
    incoming.write(b"half of a")

    incoming.rewind()
    incoming.write(b"whole")
    incoming.finish()

    assert incoming.path.read_bytes() == b"whole"
    assert (incoming.head, incoming.sha256) == (b"whole", hashlib.sha256(b"whole").hexdigest())


def test_a_discarded_file_takes_no_more(tmp_path: Path) -> None:
    """A write that comes late makes no new file; discarding twice is harmless."""
    incoming = an_incoming(tmp_path)
    incoming.write(b"x")
    incoming.discard()
    incoming.discard()

    with pytest.raises(ArchiveFolderError):
        incoming.write(b"y")

    assert list(tmp_path.iterdir()) == []


def test_an_unused_file_is_no_file(tmp_path: Path) -> None:
    """Nothing is made on disk before the first bytes."""
    incoming = a_shelf(tmp_path).incoming()

    assert not incoming.path.exists()


def test_leftovers_go_when_the_shelf_is_opened(tmp_path: Path) -> None:
    """What a crash left half done is removed, what was kept is not."""
    content_store = a_shelf(tmp_path)
    kept = content_store.incoming()
    kept.write(b"kept")
    stored = content_store.settle(kept, PNG)
    left = content_store.incoming()
    left.write(b"left")
    left.finish()

    again = a_shelf(tmp_path)

    assert (left.path.exists(), stored.path.exists()) == (False, True)
    assert again.total_bytes == 4


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "../x",
        "a" * 63,
        "g" * 64,
        "A" * 64,
        "{0}/",
        "{0}\n",
        "{0}\0",
        "{0}.exe",
        "{0}.png ",
        " {0}.png",
        "{0}.PNG",
        "./{0}.png",
        "{0}.png/..",
        "{0}..png",
        "é" * 64,
    ],
)
def test_only_names_are_looked_for(tmp_path: Path, name: str) -> None:
    """Anything else is no file, whatever lies in the folder."""
    content_store = a_shelf(tmp_path)
    incoming = content_store.incoming()
    incoming.write(b"x")
    stored = content_store.settle(incoming, PNG)

    assert content_store.find(name.format(stored.sha256)) is None
    assert content_store.find(name.format(stored.sha256), is_thumbnail=True) is None
    assert (
        content_store.find(stored.sha256)
        == content_store.find(f"{stored.sha256}.png")
        == stored.path
    )


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Pruning deletes what the archive has made, and nothing that was put beside it."""
    content_store = a_shelf(tmp_path)
    for path in (tmp_path / "notes.txt", tmp_path / "ab" / "cd" / "notes.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")

    assert content_store.prune(0.0, 0) == 0
    assert (tmp_path / "ab" / "cd" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, ArchiveFullError),
        (errno.EDQUOT, ArchiveFullError),
        (errno.EROFS, ArchiveFolderError),
        (errno.EACCES, ArchiveFolderError),
        (errno.EIO, ArchiveFolderError),
    ],
)
def test_what_the_disk_says(number: int, expected: type[ArchiveError]) -> None:
    """A full disk is told from one that cannot be written; both may be tried again."""
    with pytest.raises(expected, match="/data/files") as told, disk_errors("/data/files"):
        raise OSError(number, "as it says")

    assert told.value.is_temporary
    assert "as it says" in str(told.value)


def test_the_row_form_leaves_out_what_is_absent() -> None:
    """And reads back as the same file."""
    stored = StoredFile(
        sha256="ab" * 32, size_bytes=3, content_type="image/png", path=f"ab/ab/{'ab' * 32}.png"
    )

    assert stored.document() == {
        "sha256": "ab" * 32,
        "bytes": 3,
        "content_type": "image/png",
        "path": f"ab/ab/{'ab' * 32}.png",
    }
    assert stored_file(stored.document()) == stored
    assert (stored.name, stored.thumbnail_name) == (f"{'ab' * 32}.png", None)
