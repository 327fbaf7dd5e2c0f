"""The content store, incoming files, and the JSON form of stored files."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive import content_store as content_store_module
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


def make_content_store(folder: Path) -> ContentStore:
    """An open content store."""
    content_store = ContentStore(folder, LIMITS, SystemClock())
    content_store.open()
    return content_store


def make_incoming_file(folder: Path) -> IncomingFile:
    """An incoming file without a limit."""
    return IncomingFile(folder, lambda _more_bytes: None)


def test_a_file_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    """Hash, size and head are right after several writes."""
    incoming = make_incoming_file(tmp_path)

    incoming.write(b"a" * 4_000)
    incoming.write(b"b" * 4_000)

    content = b"a" * 4_000 + b"b" * 4_000
    assert (incoming.sha256, incoming.size_bytes) == (hashlib.sha256(content).hexdigest(), 8_000)
    assert incoming.head == content[:4_096]
    incoming.discard()


def test_a_file_can_be_rewound(tmp_path: Path) -> None:
    """After a rewind nothing of the earlier bytes is left; a rewind of an empty file is fine."""
    incoming = make_incoming_file(tmp_path)
    incoming.rewind()
    incoming.write(b"half of a")

    incoming.rewind()
    incoming.write(b"whole")
    incoming.finish()

    assert incoming.path.read_bytes() == b"whole"
    assert (incoming.head, incoming.sha256) == (b"whole", hashlib.sha256(b"whole").hexdigest())


def test_a_discarded_file_cannot_be_written(tmp_path: Path) -> None:
    """A write after a discard creates no file; discarding twice is harmless."""
    incoming = make_incoming_file(tmp_path)
    incoming.write(b"x")
    incoming.discard()
    incoming.discard()

    with pytest.raises(ArchiveFolderError):
        incoming.write(b"y")

    assert list(tmp_path.iterdir()) == []


def test_an_unused_file_is_not_created(tmp_path: Path) -> None:
    """Nothing is created on disk before the first bytes."""
    incoming = make_content_store(tmp_path).incoming()

    assert not incoming.path.exists()


def test_open_deletes_unfinished_files(tmp_path: Path) -> None:
    """Unfinished files of a crash are deleted, stored files are not."""
    content_store = make_content_store(tmp_path)
    kept = content_store.incoming()
    kept.write(b"kept")
    stored = content_store.commit(kept, PNG)
    unfinished = content_store.incoming()
    unfinished.write(b"left")
    unfinished.finish()

    reopened = make_content_store(tmp_path)

    assert (unfinished.path.exists(), stored.path.exists()) == (False, True)
    assert reopened.total_bytes == 4


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
def test_only_valid_names_are_found(tmp_path: Path, name: str) -> None:
    """A name that is not a hash with a known extension finds nothing."""
    content_store = make_content_store(tmp_path)
    incoming = content_store.incoming()
    incoming.write(b"x")
    stored = content_store.commit(incoming, PNG)

    assert content_store.find(name.format(stored.sha256)) is None
    assert content_store.find(name.format(stored.sha256), is_thumbnail=True) is None
    assert (
        content_store.find(stored.sha256)
        == content_store.find(f"{stored.sha256}.png")
        == stored.path
    )


def test_other_files_in_the_folder_are_not_pruned(tmp_path: Path) -> None:
    """Pruning deletes only files that the archive has stored."""
    content_store = make_content_store(tmp_path)
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
def test_os_errors_become_archive_errors(number: int, expected: type[ArchiveError]) -> None:
    """A full disk and a folder that cannot be written have different, temporary errors."""
    with pytest.raises(expected, match="/data/files") as raised, disk_errors("/data/files"):
        raise OSError(number, "the reason")

    assert raised.value.is_temporary
    assert "the reason" in str(raised.value)


def test_the_document_leaves_out_absent_values() -> None:
    """The document has no null values and converts back to the same file."""
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


def test_a_discarded_file_is_gone_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5: the folders of what was deleted are synced before `discard` returns, each one once."""
    store = make_content_store(tmp_path)
    incoming = store.incoming()
    incoming.write(b"picture")
    stored = store.commit(incoming, PNG)
    store.add_thumbnail(stored.sha256, b"small")
    synced: list[Path] = []

    def record(path: Path) -> None:
        assert not stored.path.exists()
        synced.append(path)

    monkeypatch.setattr(content_store_module, "fsync_path", record)
    freed = store.discard([stored.sha256])

    assert freed == len(b"picture") + len(b"small")
    below = stored.path.parent.relative_to(tmp_path)
    assert sorted(synced) == sorted([tmp_path / below, tmp_path / "thumbnails" / below])
