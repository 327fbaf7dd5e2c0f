"""A folder that several servers have mounted: each has a content store of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from phoenix_compat.tasks.archive.content_store import (
    UNFINISHED_S,
    ContentStore,
    ContentStoreLimits,
    StoredPath,
)
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION
from phoenix_compat.tasks.model.clock import SystemClock

PNG = TYPES_BY_EXTENSION["png"]
HOUR_S = 3_600.0


def node(folder: Path, grace_s: float = HOUR_S) -> ContentStore:
    """The store of one more server."""
    limits = ContentStoreLimits(max_total_bytes=None, min_free_bytes=0, grace_s=grace_s)
    store = ContentStore(folder, limits, SystemClock(), is_shared=True)
    store.open()
    return store


def keep(store: ContentStore, content: bytes = b"picture") -> StoredPath:
    """Keep a file by this server."""
    incoming = store.incoming()
    incoming.write(content)
    return store.commit(incoming, PNG)


def make_old(path: Path, age_s: float = 2 * HOUR_S) -> None:
    """Let a file have been kept long ago."""
    then_s = time.time() - age_s
    os.utime(path, (then_s, then_s))


def test_a_start_leaves_the_unfinished_files_of_others(tmp_path: Path) -> None:
    """Only those are deleted that nobody can be writing any more."""
    first = node(tmp_path)
    arriving, abandoned = first.incoming(), first.incoming()
    for incoming in (arriving, abandoned):
        incoming.write(b"half")
        incoming.finish()
    make_old(abandoned.path, UNFINISHED_S + 60.0)

    node(tmp_path)

    assert (arriving.path.exists(), abandoned.path.exists()) == (True, False)


def test_two_servers_keep_the_same_file(tmp_path: Path) -> None:
    """Both have the same path; there is one copy."""
    first, second = keep(node(tmp_path)), keep(node(tmp_path))

    assert (first.is_new, second.is_new) == (True, False)
    assert first.path == second.path
    assert first.path.read_bytes() == b"picture"


def test_a_file_that_is_kept_again_while_it_is_deleted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other server touches it after its age was read, and before its name is taken away."""
    first, second = node(tmp_path), node(tmp_path)
    stored = keep(first)
    make_old(stored.path)
    replace = Path.replace

    def touch_first(self: Path, target: Path) -> Path:
        if self == stored.path:
            assert second.touch(stored.sha256)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", touch_first)
    freed = first.discard([stored.sha256])

    assert (freed, stored.path.read_bytes()) == (0, b"picture")


def test_a_file_whose_name_is_taken_away_is_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other server keeps the content while the first one deletes it."""
    first, second = node(tmp_path), node(tmp_path)
    stored = keep(first)
    make_old(stored.path)
    unlink = Path.unlink
    again: list[StoredPath] = []

    def keep_first(self: Path, missing_ok: bool = False) -> None:
        if self.name.startswith(f"{stored.sha256}.png."):
            again.append(keep(second))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", keep_first)
    freed = first.discard([stored.sha256])

    assert freed == len(b"picture")
    assert [one.is_new for one in again] == [True]
    assert stored.path.read_bytes() == b"picture"


def test_a_file_that_another_server_has_deleted_is_not_an_error(tmp_path: Path) -> None:
    """Neither for the one that touches it, nor for the one that deletes it too."""
    first, second = node(tmp_path, grace_s=0.0), node(tmp_path, grace_s=0.0)
    stored = keep(first)

    assert first.discard([stored.sha256]) == len(b"picture")

    assert (second.discard([stored.sha256]), second.touch(stored.sha256)) == (0, False)


def test_the_age_for_a_sweep_takes_the_place_of_the_grace_period(tmp_path: Path) -> None:
    """What is younger than a day stays, although the grace period is over."""
    store = node(tmp_path)
    stored = keep(store)
    make_old(stored.path)

    assert store.old_hashes(HOUR_S) == [stored.sha256]
    assert store.old_hashes(24 * HOUR_S) == []
    assert store.discard([stored.sha256], 24 * HOUR_S) == 0
    assert store.discard([stored.sha256]) == len(b"picture")
