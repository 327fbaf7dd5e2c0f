"""The settings that say where files are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.process.config.frozen_settings import FrozenSettings, unpack_settings
from phoenix_compat.server.process.exposed_files import exposed_secrets
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import (
    Configuration,
    load_configuration,
    load_settings,
)
from phoenix_compat.server.process.settings.setting_errors import SettingsError
from phoenix_compat.tasks.archive.file_stores.s3.location import S3Location

SECRET = "an-unusual/secret-key"
URL = (
    "s3://pictures/app?endpoint=https://minio.example:9000&access_key_id=AKIAUNUSUAL"
    "&secret_access_key=an-unusual%2Fsecret-key"
)


def given(url: str) -> Configuration:
    """The configuration with this URL."""
    return load_configuration({}, Path("/dev/null"), {"PHOENIX_COMPAT_FILES_URL": url})


def refusal(**environment: str) -> str:
    """What is said about settings that cannot work."""
    with pytest.raises(SettingsError) as raised:
        load_configuration({}, Path("/dev/null"), environment)
    return str(raised.value)


def test_without_the_setting_files_are_in_the_data_directory() -> None:
    """As ever."""
    settings = Settings()

    assert (settings.bucket, settings.shared_folder) == (None, None)
    assert settings.files_path == Path("data/files")


def test_a_bucket() -> None:
    """Its options may be percent-encoded; files arrive in the data directory."""
    settings = given(URL).settings

    assert settings.bucket is not None
    assert (settings.bucket.bucket, settings.bucket.prefix) == ("pictures", "app")
    assert settings.bucket.options["secret_access_key"] == SECRET
    assert settings.files_path == Path("data/files")


@pytest.mark.parametrize(
    ("url", "folder"), [("file:///mnt/files", "/mnt/files"), ("file:///a%20b/", "/a b")]
)
def test_a_shared_folder(url: str, folder: str) -> None:
    """A path with spaces is written as in any URL."""
    settings = given(url).settings

    assert (settings.bucket, settings.shared_folder) == (None, Path(folder))
    assert settings.files_path == Path(folder)


def test_people_see_the_url_without_its_secrets() -> None:
    """In the listing of settings, and in every log line."""
    found = given(URL)

    assert found.shown("files_url") == "s3://pictures/app?endpoint=https://minio.example:9000"
    assert given("file:///mnt/files").shown("files_url") == "file:///mnt/files"
    assert SECRET not in repr(found)
    assert live_secrets.redacted(f"<{SECRET}> <AKIAUNUSUAL>") == "<[FILTERED]> <[FILTERED]>"


def test_keys_of_the_environment_are_hidden() -> None:
    """obstore reads them, and they are in no log line."""
    load_configuration({}, Path("/dev/null"), {"AWS_SECRET_ACCESS_KEY": "another-unusual-key"})

    assert live_secrets.redacted("another-unusual-key") == "[FILTERED]"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("pictures", "must begin with s3:// or file://"),
        ("https://very-secret@minio.example", "must begin with s3:// or file://"),
        ("s3://pictures?secret_access_key=very-secret", "together"),
        ("s3://very-secret:very-secret@pictures", "user name or password"),
        ("file://mnt/files", "whole path"),
        ("file:///mnt/files?very-secret", "whole path"),
        (f"s3://{'very-secret' * 300}", "longer than"),
    ],
)
def test_what_cannot_work_is_refused(url: str, reason: str) -> None:
    """The text names the variable and quotes nothing of the URL."""
    text = refusal(PHOENIX_COMPAT_FILES_URL=url)

    assert text.startswith("PHOENIX_COMPAT_FILES_URL: ")
    assert reason in text
    assert "very-secret" not in text


def test_the_url_can_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    """Which is checked as the URL itself is; a relative path starts at the configuration."""
    (tmp_path / "url").write_text(URL + "\n")
    (tmp_path / "c.toml").write_text('files_url_file = "url"')

    settings = load_settings({}, tmp_path / "c.toml", {})

    assert isinstance(settings.bucket, S3Location)
    (tmp_path / "url").write_text("s3://pictures?secret_access_key=very-secret")
    text = refusal(PHOENIX_COMPAT_FILES_URL_FILE=str(tmp_path / "url"))
    assert "the URL in the file must give access_key_id and secret_access_key together" in text
    assert "very-secret" not in text
    (tmp_path / "url").write_text("")
    assert "holds no URL" in refusal(PHOENIX_COMPAT_FILES_URL_FILE=str(tmp_path / "url"))


def test_only_one_of_both_can_be_given() -> None:
    """The text names them as they were given."""
    both = {"PHOENIX_COMPAT_FILES_URL": URL, "PHOENIX_COMPAT_FILES_URL_FILE": "/some/file"}

    text = refusal(**both)

    assert "PHOENIX_COMPAT_FILES_URL: cannot be combined with PHOENIX_COMPAT_FILES_URL_FILE" in text


@pytest.mark.parametrize("is_file", [False, True])
def test_workers_get_the_url(tmp_path: Path, *, is_file: bool) -> None:
    """As it was at the start, also from a file that is gone meanwhile."""
    (tmp_path / "url").write_text(URL)
    name = "files_url_file" if is_file else "files_url"
    value = str(tmp_path / "url") if is_file else URL
    settings = load_settings({name: value}, Path("/dev/null"), {})
    frozen = FrozenSettings(settings, lambda _settings: None)
    (tmp_path / "url").unlink()

    assert unpack_settings(frozen.pack()).bucket == settings.bucket


@pytest.mark.parametrize(("url", "is_exposed"), [(URL, True), ("s3://pictures", False)])
def test_only_a_url_with_keys_is_a_secret(tmp_path: Path, url: str, *, is_exposed: bool) -> None:
    """A configuration that names only a bucket may be read by everyone."""
    file = tmp_path / "c.toml"
    file.write_text(f'files_url = "{url}"')
    file.chmod(0o644)

    assert bool(exposed_secrets(load_configuration({}, file, {}))) == is_exposed
