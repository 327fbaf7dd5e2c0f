"""The state file: appending, rewriting, and damaged or foreign files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from phoenix_compat.emulator.persistence import json_lines_log as json_lines_log_module
from phoenix_compat.emulator.persistence.json_lines_log import JsonLinesLog

HEADER = {"json_log": "of a test"}
HEADER_LINE = b'{"json_log": "of a test"}\n'


def entry(number: int) -> Callable[[], dict[str, Any]]:
    return lambda: {"number": number}


async def entries_in(path: Path) -> list[Any]:
    """The entries that the next process reads."""
    json_log = JsonLinesLog(path, HEADER)
    entries = await json_log.open()
    await json_log.close()
    return entries


async def write(path: Path, *numbers: int) -> None:
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()
    for number in numbers:
        json_log.append(entry(number))
    await json_log.close()


async def test_entries_come_back_in_order_from_a_private_file(tmp_path: Path) -> None:
    """The entries keep their order, the folder is created, and only the owner can read the file."""
    path = tmp_path / "new" / "json_log.jsonl"

    await write(path, *range(100))

    assert await entries_in(path) == [{"number": number} for number in range(100)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_flushed_entries_are_in_the_file(tmp_path: Path) -> None:
    """`flush` is enough to survive SIGKILL; `close` is not needed."""
    json_log = JsonLinesLog(tmp_path / "j", HEADER)
    await json_log.open()

    json_log.append(entry(1))
    await json_log.flush()
    content = (tmp_path / "j").read_bytes()
    await json_log.close()

    assert content == HEADER_LINE + b'{"number": 1}\n'


@pytest.mark.parametrize("partial", [b"", HEADER_LINE[:7], HEADER_LINE, HEADER_LINE + b'{"numb'])
async def test_an_incomplete_last_line_is_dropped(tmp_path: Path, partial: bytes) -> None:
    """A last line without a line end is ignored, and the next entry gets its own line."""
    path = tmp_path / "j"
    path.write_bytes(partial)

    with capture_logs() as logs:
        await write(path, 5)

    assert await entries_in(path) == [{"number": 5}]
    assert logs == []


async def test_an_invalid_line_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    """`open` returns None for the invalid line."""
    path = tmp_path / "j"
    path.write_bytes(HEADER_LINE + b'{"number": 1}\n\xff\x00\n{"number": 3}\n')

    assert await entries_in(path) == [{"number": 1}, None, {"number": 3}]


@pytest.mark.parametrize("content", [b"Dear diary,\n", b"\x00" * 5000, b'{"json_log": "newer"}\n'])
async def test_a_foreign_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """It is logged and renamed, and a new file is created."""
    path = tmp_path / "j"
    path.write_bytes(content)

    with capture_logs() as logs:
        await write(path, 1)

    assert [line["event"] for line in logs] == ["emulator.state_file_set_aside"]
    assert (tmp_path / "j.odd").read_bytes() == content
    assert await entries_in(path) == [{"number": 1}]


async def test_a_file_above_the_size_limit_is_set_aside_unread(tmp_path: Path) -> None:
    """A state file cannot grow that large, so the file is not read."""
    path = tmp_path / "j"
    path.write_bytes(HEADER_LINE)
    os.truncate(path, 2**30)

    with capture_logs() as logs:
        assert await entries_in(path) == []

    assert "1073741824 bytes" in logs[0]["reason"]


async def test_a_rewrite_replaces_all_earlier_entries(tmp_path: Path) -> None:
    """`rewrite` takes the newest first, `open` returns the oldest first; later entries follow."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()
    json_log.append(entry(1))

    json_log.rewrite([entry(3), entry(2)])
    json_log.append(entry(4))
    await json_log.close()

    assert await entries_in(path) == [{"number": 2}, {"number": 3}, {"number": 4}]
    assert not path.with_name("j.new").exists()


async def test_a_rewrite_keeps_the_newest_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is in bytes, so that large inputs cannot fill the disk."""
    monkeypatch.setattr(json_lines_log_module, "MAX_REWRITTEN_BYTES", 2 * len(b'{"number": 1}\n'))
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()

    json_log.rewrite([entry(3), entry(2), entry(1)])
    await json_log.close()

    assert await entries_in(path) == [{"number": 2}, {"number": 3}]


async def test_it_asks_for_a_rewrite_when_it_has_grown(tmp_path: Path) -> None:
    """A rewrite is due at twice the last rewritten size plus 1 MiB, and not after a rewrite."""
    json_log = JsonLinesLog(tmp_path / "j", HEADER)
    await json_log.open()
    large = "x" * 2**19

    due: list[bool] = []
    for _ in range(3):
        json_log.append(lambda: {"large": large})
        await json_log.flush()
        due.append(json_log.needs_rewrite)
    json_log.rewrite([entry(1)])
    await json_log.flush()
    due.append(json_log.needs_rewrite)
    await json_log.close()

    assert due == [False, True, True, False]


async def test_a_second_process_cannot_use_the_file(tmp_path: Path) -> None:
    """The file is locked: the second process logs that, and saves nothing."""
    path = tmp_path / "j"
    first, second = JsonLinesLog(path, HEADER), JsonLinesLog(path, HEADER)
    await first.open()

    with capture_logs() as logs:
        found = await second.open()
        second.append(entry(2))
        await second.flush()
    first.append(entry(1))
    await first.close()
    await second.close()

    assert found == []
    assert logs[0]["reason"] == "another process is using it"
    assert await entries_in(path) == [{"number": 1}]


async def test_a_folder_instead_of_the_file_is_logged(tmp_path: Path) -> None:
    """Nothing is saved then."""
    with capture_logs() as logs:
        assert await entries_in(tmp_path) == []

    assert [(line["event"], line["reason"]) for line in logs] == [
        ("emulator.state_not_saved", "it is not a regular file")
    ]


async def test_a_full_disk_is_logged_once_and_loses_only_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial line is removed, and entries are written again when there is space."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()
    write_it = os.write

    def full(file: int, text: bytes | memoryview) -> int:
        if len(text) > 3:
            return write_it(file, text[:3])
        raise OSError(28, "No space left on device")

    with capture_logs() as logs:
        monkeypatch.setattr(os, "write", full)
        json_log.append(entry(1))
        json_log.append(entry(2))
        await json_log.flush()
        monkeypatch.setattr(os, "write", write_it)
        json_log.append(entry(3))
        await json_log.close()

    assert [line["reason"] for line in logs] == ["No space left on device"]
    assert await entries_in(path) == [{"number": 3}]


async def test_an_entry_that_cannot_be_encoded_is_left_out(tmp_path: Path) -> None:
    """An entry that is nested too deeply for JSON is logged and left out, also of a rewrite."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]

    with capture_logs() as logs:
        json_log.append(lambda: {"deep": deep})
        json_log.rewrite([lambda: {"deep": deep}, entry(1)])
        await json_log.close()

    assert [line["event"] for line in logs] == ["emulator.state_not_saved"]
    assert await entries_in(path) == [{"number": 1}]


async def test_infinity_and_lone_surrogates_come_back(tmp_path: Path) -> None:
    """Schedules may be infinite, and JSON prompts may contain lone surrogates."""
    path = tmp_path / "j"
    json_log = JsonLinesLog(path, HEADER)
    await json_log.open()
    unusual = {"run_s": float("inf"), "prompt": "\ud800"}

    json_log.append(lambda: unusual)
    await json_log.close()

    assert await entries_in(path) == [unusual]
    assert json.dumps(unusual).encode() in path.read_bytes()


@pytest.mark.parametrize("head", [b"\0" * 30, b'{"json_lo', b""])
async def test_the_lines_after_a_damaged_header_are_kept(tmp_path: Path, head: bytes) -> None:
    """F6: the readable entries of a file of ours are kept, and the damaged file is set aside."""
    path = tmp_path / "j"
    content = head + b'\n{"number": 1}\n\0\0\0\n{"number": 2}\n{"num'
    path.write_bytes(content)

    json_log = JsonLinesLog(path, HEADER, ("number",))
    entries = await json_log.open()
    json_log.append(entry(3))
    await json_log.close()

    assert entries == [{"number": 1}, {"number": 2}]
    assert await entries_in(path) == [{"number": 1}, {"number": 2}, {"number": 3}]
    assert path.with_name("j.odd").read_bytes() == content


async def test_flushed_entries_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F6: `flush` syncs the file, once for all entries; a flush of nothing new syncs nothing."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    json_log = JsonLinesLog(tmp_path / "j", HEADER)
    await json_log.open()
    synced.clear()

    json_log.append(entry(1))
    json_log.append(entry(2))
    await json_log.flush()
    await json_log.flush()

    assert len(synced) == 1
    await json_log.close()
