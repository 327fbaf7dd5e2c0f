"""Commands for a server whose files are in a bucket, or in a folder that servers share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from phoenix_compat.cli import cli
from phoenix_compat.operations.doctor.files import check_files
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.archive.file_stores.s3 import bucket as bucket_module
from phoenix_compat.tasks.archive.file_stores.s3.bucket import Bucket, StoredObject
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location, parse_s3_url
from tests.integration.operations.test_prune import set_age
from tests.integration.store.stored_tasks import make_data_dir
from tests.services.programs import free_port

SECRET = "the-secret-key-of-the-tests"


async def call(url: str, *arguments: str) -> Result:
    """Call a command in a thread, since some have an event loop of their own."""
    return await asyncio.to_thread(
        CliRunner().invoke, cli, arguments, env={"PHOENIX_COMPAT_FILES_URL": url}
    )


async def copy_files(home: Path, url: str) -> Bucket:
    """Copy the files of a data directory into a bucket, as a tool would."""
    bucket = Bucket(parse_s3_url(url))
    for name, content in (await asyncio.to_thread(_files_of, home)).items():
        await bucket.put(name, content, len(content), "image/png")
    return bucket


def _files_of(home: Path) -> Mapping[str, bytes]:
    folder = home / "files"
    paths = (path for path in folder.rglob("*.*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


async def test_the_doctor_tries_the_bucket(s3_url: str) -> None:
    """And leaves nothing in it."""
    finding = await check_files(Settings(files_url=s3_url))

    assert (finding.status, finding.remedy) == ("ok", "")
    assert "stored, listed, read and deleted" in finding.detail
    assert [one async for one in Bucket(parse_s3_url(s3_url)).list()] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [("s3://test-", "s3://not-there-", "NoSuchBucket"), ("{port}", "{free}", "no connection")],
)
async def test_the_doctor_says_what_is_wrong_with_the_bucket(
    s3_url: str, s3_port: int, old: str, new: str, expected: str
) -> None:
    """With the place and the reason, and without its keys."""
    names = {"port": str(s3_port), "free": str(free_port())}
    url = s3_url.replace(old.format(**names), new.format(**names))

    finding = await check_files(Settings(files_url=url))

    assert finding.status == "fail"
    assert expected in finding.detail
    assert "files_url" in finding.remedy
    assert SECRET not in finding.detail + finding.remedy


async def test_the_doctor_tries_the_shared_folder(tmp_path: Path) -> None:
    """It must be there and writable."""
    good = await check_files(Settings(files_url=f"file://{tmp_path}"))
    bad = await check_files(Settings(files_url=f"file://{tmp_path}/x"))

    assert (good.status, bad.status) == ("ok", "fail")
    assert "mount" in bad.remedy


async def test_the_doctor_misses_a_place_for_all() -> None:
    """Servers that share their tasks need one for their files."""
    alone = await check_files(Settings())
    shared = await check_files(Settings(database_url="postgresql://db/tasks"))

    assert (alone.status, shared.status) == ("ok", "warn")
    assert "set files_url" in shared.remedy


async def test_config_shows_no_key(s3_url: str) -> None:
    """The URL is shown without its secrets."""
    shown = await call(s3_url, "config", "show")

    assert "files_url = s3://test-" in shown.output
    assert SECRET not in shown.output


async def test_a_backup_says_that_the_files_stay(tmp_path: Path, s3_url: str) -> None:
    """It has the database; a restore says where the files must be."""
    home = await asyncio.to_thread(make_data_dir, tmp_path / "home")
    made = await call(s3_url, "backup", "--data-dir", str(home), str(tmp_path / "b.tar"))
    back = ("restore", "--data-dir", str(tmp_path / "new"), str(tmp_path / "b.tar"))

    restored = await call(s3_url, *back)

    assert made.exit_code == restored.exit_code == 0, made.output + restored.output
    assert "and 0 archived files" in made.output
    assert "they stay in s3://test-" in made.output
    assert "must be in s3://test-" in restored.output
    assert SECRET not in made.output + restored.output


async def test_a_restore_of_files_says_where_to_copy_them(tmp_path: Path, s3_url: str) -> None:
    """A backup of a server that had them in its folder."""
    home = await asyncio.to_thread(make_data_dir, tmp_path / "home")
    made = await call("", "backup", "--data-dir", str(home), str(tmp_path / "b.tar"))
    back = ("restore", "--data-dir", str(tmp_path / "new"), str(tmp_path / "b.tar"))

    restored = await call(s3_url, *back)

    assert made.exit_code == restored.exit_code == 0, made.output + restored.output
    assert f"copy them to {S3Location.__str__(parse_s3_url(s3_url))}" in restored.output


async def test_an_import_finds_files_in_the_bucket(tmp_path: Path, s3_url: str) -> None:
    """Those that were copied there; without them it says what to do."""
    home = await asyncio.to_thread(make_data_dir, tmp_path / "home")
    lines = tmp_path / "tasks.jsonl"
    await call("", "export", "--data-dir", str(home), str(lines))
    load = ("import", "--data-dir", str(tmp_path / "new"), "--with-unfinished", str(lines))
    without = await call(s3_url, *load)
    await copy_files(home, s3_url)

    again = await call(s3_url, *load)

    assert without.exit_code == again.exit_code == 0, without.output + again.output
    assert "name files that are not in s3://test-" in without.output
    assert "existed already" in again.output
    assert "name files" not in again.output


async def test_prune_deletes_files_in_the_bucket(
    tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the tasks that are deleted; the folder of the server is not touched."""
    home = await asyncio.to_thread(make_data_dir, tmp_path / "home")
    await asyncio.to_thread(set_age, home, "1 = 1", 2)
    bucket = await copy_files(home, s3_url)
    read = bucket_module._stored_object

    def long_ago(meta: Any) -> StoredObject:
        one = read(meta)
        is_mark = ".deleting-" in one.key
        return one if is_mark else one._replace(modified_at=one.modified_at - timedelta(hours=2))

    monkeypatch.setattr(bucket_module, "_stored_object", long_ago)

    done = await call(s3_url, "prune", "--data-dir", str(home), "--older-than", "1")

    assert done.exit_code == 0, done.output
    assert [one.key async for one in bucket.list()] == []
    assert await asyncio.to_thread(_files_of, home)
