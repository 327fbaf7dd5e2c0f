"""Where the files are that clients send and that models make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from phoenix_compat.server.process.settings.part import SettingsPart, conflict
from phoenix_compat.tasks.archive.file_stores.s3.location import (
    SECRET_OPTIONS,
    S3Location,
    parse_s3_url,
)

_MAX_URL_CHARS: Final = 2_048
_MASK: Final = "**********"
_EXAMPLES: Final = '"s3://bucket/prefix" or "file:///mnt/files"'


def files_place(url: str) -> S3Location | Path:
    """The bucket or the folder that a URL names.

    Raises:
        ValueError: what is wrong with it, without quoting it: it may contain a secret.
    """
    if len(url) > _MAX_URL_CHARS:
        raise ValueError(f"is longer than {_MAX_URL_CHARS} characters")
    if url.startswith("s3://"):
        return parse_s3_url(url)
    if not url.startswith("file://"):
        raise ValueError(f"must begin with s3:// or file://, as in {_EXAMPLES}")
    path = unquote(url.removeprefix("file://"))
    if not path.startswith("/") or "\0" in path or "?" in url or "#" in url:
        raise ValueError('must name a folder by its whole path, as in "file:///mnt/files"')
    return Path(path)


def checked_files_url(url: SecretStr) -> SecretStr:
    """Validate the URL for pydantic. Raises ValueError, without quoting it."""
    files_place(url.get_secret_value())
    return url


def shown_files_url(url: str) -> str:
    """The URL for people: without its secrets."""
    try:
        place = files_place(url)
    except ValueError:
        return _MASK
    return str(place) if isinstance(place, S3Location) else f"file://{place}"


def secrets_of_files_url(url: str) -> Iterator[str]:
    """What nobody may see of a URL, which may be invalid."""
    try:
        parts = urlsplit(url)
        fields = parse_qsl(parts.query)
        password = parts.password
    except ValueError:
        yield url
        return
    if password is not None:
        yield from (password, unquote(password))
    yield from (value for name, value in fields if name in SECRET_OPTIONS)


class FileSettings(SettingsPart):
    """The part of `Settings` about this subject."""

    files_url: Annotated[SecretStr, AfterValidator(checked_files_url)] | None = Field(
        None,
        description="where files are stored instead of in data_dir, for several servers: "
        '"s3://bucket/prefix?endpoint=https://host", or "file:///mnt/files" for a folder that all '
        "have mounted; see docs/files.md",
    )
    files_url_file: Path | None = Field(
        None,
        description="a file that contains this URL and nothing else; use it or files_url, not both",
    )

    @model_validator(mode="after")
    def _one_files_url(self) -> Self:
        if self.files_url is not None and self.files_url_file is not None:
            raise conflict(
                "{files_url}: cannot be combined with {files_url_file}; remove one of them",
                ("files_url", "files_url_file"),
            )
        return self

    @property
    def bucket(self) -> S3Location | None:
        """The bucket where files are stored; None if they are in a folder."""
        place = self._place
        return place if isinstance(place, S3Location) else None

    @property
    def shared_folder(self) -> Path | None:
        """The folder that several servers have mounted, if files are stored there."""
        place = self._place
        return place if isinstance(place, Path) else None

    @property
    def _place(self) -> S3Location | Path | None:
        return None if self.files_url is None else files_place(self.files_url.get_secret_value())
