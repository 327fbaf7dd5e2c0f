"""The token of control routes: where it is kept, who may read it, and what requests need."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from phoenix_compat.control_token import (
    control_headers,
    default_file,
    has_control_token,
    opened_control_token,
    read_control_token,
)
from phoenix_compat.errors import ConfigError

HEADER = "X-Control-Token"
URL = "http://127.0.0.1:4001"
SECRET = "s" * 43


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder of this user."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_each_start_has_a_new_token_in_a_private_file(runtime: Path, umask: int) -> None:
    """The file is named after the port, and is gone when the server has ended."""
    before = os.umask(umask)
    try:
        with opened_control_token(None) as first:
            file = first.publish("conformance", 4001)
            modes = (mode_of(file), mode_of(file.parent))
            headers = control_headers(URL, "conformance", None)
        with opened_control_token(None) as second:
            second.publish("conformance", 4001)
    finally:
        os.umask(before)

    assert file == runtime / "phoenix-compat" / "conformance-4001.token"
    assert modes == (0o600, 0o700)
    assert headers == {HEADER: first.secret}
    assert len(first.secret) >= 43
    assert first.secret != second.secret
    assert not file.exists()


def test_a_server_removes_only_its_own_token(runtime: Path) -> None:
    """When another server has taken the port meanwhile, its file stays."""
    with opened_control_token(None) as late:
        with opened_control_token(None) as early:
            file = early.publish("emulator", 8901)
            late.publish("emulator", 8901)
        there = read_control_token(file)

    assert there == late.secret
    assert list((runtime / "phoenix-compat").iterdir()) == []


def test_a_named_file_is_created_once_and_kept(tmp_path: Path) -> None:
    """The next start uses the same token."""
    named = tmp_path / "new" / "token"

    secrets = []
    for _ in range(2):
        with opened_control_token(named) as token:
            secrets.append(token.secret)
            assert token.publish("emulator", 1) == named

    assert secrets == [named.read_text().strip()] * 2
    assert (mode_of(named), mode_of(named.parent)) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (SECRET, 0o644, "other users may use .*chmod 600"),
        (SECRET, 0o620, "other users may use"),
        ("short", 0o600, "at least 16 ASCII characters"),
        ("", 0o600, "at least 16 ASCII characters"),
        (f"{SECRET}\n{SECRET}", 0o600, "on one line"),
        ("é" * 20, 0o600, "ASCII"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(
    tmp_path: Path, content: str, mode: int, reason: str
) -> None:
    """Others may read it, or it is too short or cannot be sent in a header. The text of the error
    has the option and the path, and nothing of the content."""
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)

    with pytest.raises(ConfigError, match=reason) as refused, opened_control_token(file):
        pass

    assert str(refused.value).startswith("--control-token-file: ")
    assert str(file) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A folder, and a pipe, which would be waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()

    for name, reason in (("pipe", "not a regular file"), ("folder", "Is a directory")):
        with pytest.raises(ConfigError, match=reason):
            read_control_token(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could read the token, or choose it."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)
    os.chown(file, 4711, -1)

    with pytest.raises(ConfigError, match="belongs to another user"):
        read_control_token(file)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert read_control_token(file) == SECRET


def test_a_folder_that_others_may_use_is_refused(runtime: Path) -> None:
    """In a public place another user may have made the folder before. That is found out before
    the server listens."""
    folder = runtime / "phoenix-compat"
    folder.mkdir()
    folder.chmod(0o777)

    with (
        pytest.raises(ConfigError, match=r"other users may use it; name a file with"),
        opened_control_token(None),
    ):
        pass

    folder.rmdir()
    (runtime / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(runtime / "elsewhere")
    with (
        pytest.raises(ConfigError, match="not a folder of this user"),
        opened_control_token(None),
    ):
        pass

    assert list((runtime / "elsewhere").iterdir()) == []


def test_relative_folders_in_the_environment_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is the home directory, and without one the folder for temporary files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = default_file("emulator", 1)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: (_ for _ in ()).throw(KeyError))
    homeless = default_file("emulator", 1)

    assert at_home == tmp_path / ".local" / "state" / "phoenix-compat" / "emulator-1.token"
    assert homeless.is_absolute()


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        (URL, True),
        ("http://localhost:4001", True),
        ("http://[::1]:4001", True),
        ("http://127.0.0.1:4002", False),
        ("http://192.0.2.1:4001", False),
        ("http://localhost.evil.example:4001", False),
    ],
)
def test_the_token_is_sent_only_to_its_own_server(url: str, *, is_sent: bool) -> None:
    """That is the server on this port of this machine; for others the file must be named."""
    with opened_control_token(None) as token:
        file = token.publish("conformance", 4001)
        found = control_headers(url, "conformance", None)
        named = control_headers(url, "conformance", file)

    assert found == ({HEADER: token.secret} if is_sent else {})
    assert named == {HEADER: token.secret}
    with pytest.raises(ConfigError, match="does not exist"):
        control_headers(url, "conformance", file)


@pytest.mark.parametrize(
    ("headers", "is_admitted"),
    [
        ({HEADER: SECRET}, True),
        ({"Authorization": f"Bearer {SECRET}"}, True),
        ({"Authorization": f"bearer  {SECRET} "}, True),
        ({HEADER: "wrong", "Authorization": f"Bearer {SECRET}"}, True),
        ({}, False),
        ({HEADER: ""}, False),
        ({HEADER: SECRET[:-1]}, False),
        ({HEADER: SECRET + "s"}, False),
        ({HEADER: "\udcff"}, False),
        ({"Authorization": SECRET}, False),
        ({"Authorization": f"Basic {SECRET}"}, False),
        ({"Cookie": f"{HEADER}={SECRET}"}, False),
    ],
)
def test_a_request_needs_the_token_in_a_header(
    headers: dict[str, str], *, is_admitted: bool
) -> None:
    """X-Control-Token or a bearer token; never a cookie."""
    assert has_control_token(headers, SECRET) == is_admitted
