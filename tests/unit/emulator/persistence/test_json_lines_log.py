"""The file that outlives an emulator, whatever happens to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.emulator.persistence import json_lines_log as journal_module
from phoenix_compat.emulator.persistence.json_lines_log import JsonLinesLog

TITLE = {"json_log": "of a test"}
FIRST_LINE = b'{"json_log": "of a test"}\n'


def entry(number: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"number": number}


async def held_by(path: Path) -> list[Any]:
    """What the next process finds."""
    json_log = JsonLinesLog(path, TITLE)
    entries = await json_log.open()
    await json_log.close()
    return entries


async def write(path: Path, *numbers: int) -> None:
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()
    for number in numbers:
        json_log.note(entry(number))
    await json_log.close()


async def test_what_was_noted_is_there_in_order_for_its_owner_only(tmp_path: Path) -> None:
    """Notes come back in order; the folder is made, and the file is private."""
    path = tmp_path / "new" / "json_log.jsonl"

    await write(path, *range(100))

    assert await held_by(path) == [{"number": number} for number in range(100)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_settled_means_that_it_is_in_the_file(tmp_path: Path) -> None:
    """Nothing has to be closed: SIGKILL may come."""
    json_log = JsonLinesLog(tmp_path / "j", TITLE)
    await json_log.open()

    json_log.note(entry(1))
    await json_log.settled()
    content = (tmp_path / "j").read_bytes()
    await json_log.close()

    assert content == FIRST_LINE + b'{"number": 1}\n'


@pytest.mark.parametrize("torn", [b"", FIRST_LINE[:7], FIRST_LINE, FIRST_LINE + b'{"numb'])
async def test_what_was_being_written_at_the_end_is_dropped(tmp_path: Path, torn: bytes) -> None:
    """A last line without its end is none, and the next note begins on a line of its own."""
    path = tmp_path / "j"
    path.write_bytes(torn)

    with capture_logs() as logs:
        await write(path, 5)

    assert await held_by(path) == [{"number": 5}]
    assert logs == []


async def test_a_spoiled_line_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    """The json log gives None in its place."""
    path = tmp_path / "j"
    path.write_bytes(FIRST_LINE + b'{"number": 1}\n\xff\x00\n{"number": 3}\n')

    assert await held_by(path) == [{"number": 1}, None, {"number": 3}]


@pytest.mark.parametrize("content", [b"Dear diary,\n", b"\x00" * 5000, b'{"json_log": "newer"}\n'])
async def test_a_file_that_is_no_journal_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """It is told, kept under another name, and the json log is begun anew."""
    path = tmp_path / "j"
    path.write_bytes(content)

    with capture_logs() as logs:
        await write(path, 1)

    assert [line["event"] for line in logs] == ["emulator.begun_anew"]
    assert (tmp_path / "j.odd").read_bytes() == content
    assert await held_by(path) == [{"number": 1}]


async def test_a_file_beyond_its_bound_is_set_aside_unread(tmp_path: Path) -> None:
    """No json log grows that large, so it is none."""
    path = tmp_path / "j"
    path.write_bytes(FIRST_LINE)
    os.truncate(path, 2**30)

    with capture_logs() as logs:
        assert await held_by(path) == []

    assert "1073741824 bytes" in logs[0]["reason"]


async def test_a_rewrite_takes_the_place_of_all_before(tmp_path: Path) -> None:
    """Given newest first, read oldest first; later notes follow it."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()
    json_log.note(entry(1))

    json_log.rewrite([entry(3), entry(2)])
    json_log.note(entry(4))
    await json_log.close()

    assert await held_by(path) == [{"number": 2}, {"number": 3}, {"number": 4}]
    assert not path.with_name("j.new").exists()


async def test_a_rewrite_keeps_the_newest_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is on bytes, so that large inputs cannot fill the disk."""
    monkeypatch.setattr(journal_module, "MAX_KEPT_BYTES", 2 * len(b'{"number": 1}\n'))
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()

    json_log.rewrite([entry(3), entry(2), entry(1)])
    await json_log.close()

    assert await held_by(path) == [{"number": 2}, {"number": 3}]


async def test_it_says_when_it_has_grown(tmp_path: Path) -> None:
    """A megabyte beyond twice what was last worth keeping; a rewrite mends it."""
    json_log = JsonLinesLog(tmp_path / "j", TITLE)
    await json_log.open()
    large = "x" * 2**19

    grown: list[bool] = []
    for _ in range(3):
        json_log.note(lambda: {"large": large})
        await json_log.settled()
        grown.append(json_log.is_grown)
    json_log.rewrite([entry(1)])
    await json_log.settled()
    grown.append(json_log.is_grown)
    await json_log.close()

    assert grown == [False, True, True, False]


async def test_a_second_process_does_without(tmp_path: Path) -> None:
    """Two would spoil each other's file: the second is told and notes nothing."""
    path = tmp_path / "j"
    first, second = JsonLinesLog(path, TITLE), JsonLinesLog(path, TITLE)
    await first.open()

    with capture_logs() as logs:
        found = await second.open()
        second.note(entry(2))
        await second.settled()
    first.note(entry(1))
    await first.close()
    await second.close()

    assert found == []
    assert logs[0]["reason"] == "another process is using it"
    assert await held_by(path) == [{"number": 1}]


async def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    """It goes without."""
    with capture_logs() as logs:
        assert await held_by(tmp_path) == []

    assert [(line["event"], line["reason"]) for line in logs] == [
        ("emulator.not_remembered", "it is not a regular file")
    ]


async def test_a_full_disk_is_told_once_and_costs_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line is taken back; when there is room again, notes are kept again."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()
    write_it = os.write

    def full(file: int, text: bytes | memoryview) -> int:
        if len(text) > 3:
            return write_it(file, text[:3])
        raise OSError(28, "No space left on device")

    with capture_logs() as logs:
        monkeypatch.setattr(os, "write", full)
        json_log.note(entry(1))
        json_log.note(entry(2))
        await json_log.settled()
        monkeypatch.setattr(os, "write", write_it)
        json_log.note(entry(3))
        await json_log.close()

    assert [line["reason"] for line in logs] == ["No space left on device"]
    assert await held_by(path) == [{"number": 3}]


async def test_what_cannot_be_written_spoils_nothing(tmp_path: Path) -> None:
    """An entry nested too deeply for JSON is told and left out, of a rewrite too."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]

    with capture_logs() as logs:
        json_log.note(lambda: {"deep": deep})
        json_log.rewrite([lambda: {"deep": deep}, entry(1)])
        await json_log.close()

    assert [line["event"] for line in logs] == ["emulator.not_remembered"]
    assert await held_by(path) == [{"number": 1}]


async def test_infinity_and_half_a_surrogate_pair_come_back(tmp_path: Path) -> None:
    """Scripts that never end, and prompts that JSON can carry and UTF-8 cannot."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, TITLE)
    await json_log.open()
    odd = {"run_s": float("inf"), "prompt": "\ud800"}

    json_log.note(lambda: odd)
    await json_log.close()

    assert await held_by(path) == [odd]
    assert json.dumps(odd).encode() in path.read_bytes()
