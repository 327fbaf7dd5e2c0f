"""The settings of several machines: URLs with passwords, which nobody sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.config.frozen_settings import FrozenSettings, unpack_settings
from phoenix_compat.server.process.settings.configuration import load_configuration
from phoenix_compat.server.process.settings.nodes import secrets_of_url, shown_url

DATABASE = "postgresql://app:hunter2hunter2@db.internal:5432/tasks?sslmode=require"
PASSWORD = "hunter2hunter2"


def refused(**flags: object) -> str:
    """The error about these settings."""
    with pytest.raises(ConfigError) as caught:
        load_configuration(flags, None, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is empty"),
        ("db.internal/tasks", "must begin with postgresql:// or postgres://"),
        ("mysql://app:hunter2hunter2@db/tasks", "must begin with postgresql://"),
        ("postgresql:tasks", "must begin with postgresql://"),
        ("postgresql://app:hunter2 hunter2@db/tasks", "a character at position 25"),
        ("postgresql://app:hunter2hunter2@db:port/tasks", "a host or port that cannot be read"),
        ("postgresql://app:hunter2/hunter2@db/tasks", "a host or port that cannot be read"),
        ("postgresql://app:hunter2hunter2@db/tasks#x", "a # outside of its password"),
        ("postgresql://app:hunter2hunter2@db:0/tasks", "has the port 0"),
        ("postgresql://" + "a" * 2_048, "is longer than 2048 characters"),
    ],
)
def test_a_wrong_database_url_is_explained_and_not_quoted(url: str, reason: str) -> None:
    """The text says what to write; the password may be anywhere in what was given."""
    told = refused(database_url=url)

    assert told.startswith("--database-url: ")
    assert reason in told
    assert "hunter2" not in told


@pytest.mark.parametrize("url", ["http://host", "redis://", "nats:4222", "amqp://host"])
def test_a_wrong_bus_url_is_explained(url: str) -> None:
    """With an example."""
    told = refused(database_url=DATABASE, bus_url=url)

    assert told.startswith("--bus-url: ")
    assert "redis://host:6379" in told


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "rediss://:secret@host:6380/1",
        "nats://one:4222,two:4222",
        "unix:///run/redis.sock",
        "postgresql://app@one,two:5433/tasks?target_session_attrs=read-write",
        "postgresql:///tasks?host=/run/postgresql",
    ],
)
def test_usual_urls_are_accepted(url: str) -> None:
    """Of every engine."""
    found = load_configuration({"database_url": DATABASE, "bus_url": url}, None, {})

    assert found.settings.bus_url is not None
    assert found.settings.bus_url.get_secret_value() == url
    assert found.settings.is_shared


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"bus_url": "redis://host"}, "--bus-url: needs database_url"),
        (
            {"database_url": DATABASE, "database_url_file": Path("x")},
            "--database-url: cannot be combined with --database-url-file",
        ),
        (
            {"database_url": DATABASE, "bus_url": "redis://host", "bus_url_file": Path("x")},
            "--bus-url: cannot be combined with --bus-url-file",
        ),
        ({"bus_prefix": "a.b"}, "--bus-prefix: must consist of 1 to 32 letters"),
    ],
)
def test_settings_that_do_not_fit_together(flags: dict[str, object], expected: str) -> None:
    """The error names both, as they were given."""
    assert expected in refused(**flags)


def test_the_password_is_never_shown() -> None:
    """In lists of settings the host stays readable; logs do not have the password either."""
    found = load_configuration({"database_url": DATABASE}, None, {})

    shown = found.shown("database_url")

    assert shown == "postgresql://**********@db.internal:5432/tasks?…"
    assert PASSWORD not in repr(found.settings)
    assert PASSWORD not in live_secrets.redacted(f"password {PASSWORD} refused")


def test_every_spelling_of_a_password_is_a_secret() -> None:
    """As it is written in the URL, as it is meant, and as a parameter."""
    secrets = list(secrets_of_url("redis://:a%40long%2Fone@host?password=another%20one"))

    assert {"a%40long%2Fone", "a@long/one", "another one"} <= set(secrets)
    assert list(secrets_of_url("nats://a-long-token@host"))[1:] == ["a-long-token"] * 2
    assert list(secrets_of_url("data/tasks.sqlite3")) == []
    assert list(secrets_of_url("redis://[half")) == ["redis://[half"]
    assert list(secrets_of_url("redis://host:6379/1")) == []  # log lines name the broker by it
    assert shown_url("redis://[half") == "**********"


def test_urls_may_be_in_files(tmp_path: Path) -> None:
    """The workers of one machine get them from their supervisor, as all settings."""
    file = tmp_path / "url"
    file.write_text(f"{DATABASE}\n")
    found = load_configuration({"database_url_file": file, "bus_url": "redis://host"}, None, {})
    assert found.settings.database_url is not None
    assert found.settings.database_url.get_secret_value() == DATABASE

    again = unpack_settings(FrozenSettings(found.settings, lambda _settings: None).pack())

    assert again.database_url == found.settings.database_url
    assert again.bus_url == found.settings.bus_url
    assert again.replicate_api_token is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file holds no URL"),
        ("mysql://app:hunter2hunter2@db", "the URL in the file must begin with postgresql://"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, expected: str) -> None:
    """Without its name, which may be the secret itself by mistake."""
    file = tmp_path / "url"
    file.write_text(text)

    told = refused(database_url_file=file)

    assert told.startswith(f"--database-url-file: {expected}")
    assert "hunter2" not in told
