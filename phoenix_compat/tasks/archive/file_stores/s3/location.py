"""Where a bucket is, as the setting `files_url` says it. No I/O.

    s3://bucket/prefix?endpoint=https://minio.example:9000&region=eu-central-1

Keys may stand in the query too; otherwise obstore looks for them in the environment (AWS_…), and
then asks the machine or container for its role.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

SECRET_OPTIONS: Final = ("access_key_id", "secret_access_key", "session_token")
OPTIONS: Final = (
    "endpoint",
    "region",
    *SECRET_OPTIONS,
    "virtual_hosted_style_request",
    "server_side_encryption",
    "sse_kms_key_id",
    "checksum_algorithm",
    "disable_bulk_delete",
)
"""What the query may have; the names are obstore's."""

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")
_MAX_PREFIX_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and how to reach it.

    Attributes:
        prefix: what the names of all files begin with, without slashes at its ends; may be empty.
        options: the options of the query, by obstore's names; some are secrets.
    """

    bucket: str
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nobody may see."""
        return tuple(self.options[name] for name in SECRET_OPTIONS if name in self.options)

    def __str__(self) -> str:
        """The URL without its secrets, for people."""
        path = f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
        shown = [
            f"{name}={quote(value, safe=':/')}"
            for name, value in self.options.items()
            if name not in SECRET_OPTIONS
        ]
        return path + ("?" + "&".join(shown) if shown else "")


def parse_s3_url(url: str) -> S3Location:
    """Read a URL that begins with s3://.

    Raises:
        ValueError: what is wrong with it, without quoting a secret.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("cannot be read as a URL") from error
    if parts.scheme != "s3":
        raise ValueError("must begin with s3://")
    if "@" in parts.netloc:
        raise ValueError(
            "must not contain a user name or password; write access_key_id and secret_access_key "
            "into the query, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise ValueError("must name a bucket, as in s3://my-bucket/files")
    prefix = parts.path.strip("/")
    is_prefix = _PREFIX.fullmatch(prefix) is not None and len(prefix) <= _MAX_PREFIX_CHARS
    if prefix and not (is_prefix and not {".", ".."} & set(prefix.split("/"))):
        raise ValueError("has a path that cannot be a prefix; use letters, digits, - and /")
    if parts.fragment:
        raise ValueError("must not contain '#'; write it as %23")
    return S3Location(parts.netloc, prefix, _options(parts.query))


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ValueError("has a query that cannot be read; write name=value&name=value") from error
    for name, value in pairs:
        if name not in OPTIONS:
            raise ValueError(f"has an option that is not known; known are {', '.join(OPTIONS)}")
        if name in options or not value:
            raise ValueError(f"must give {name} once, with a value")
        options[name] = value
    if ("access_key_id" in options) != ("secret_access_key" in options):
        raise ValueError("must give access_key_id and secret_access_key together, or neither")
    _check_endpoint(options.get("endpoint"))
    return options


def _check_endpoint(endpoint: str | None) -> None:
    if endpoint is None:
        return
    try:
        parts = urlsplit(endpoint)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
        parts = urlsplit("")
    if not is_address or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "must give as endpoint an address such as https://minio.example:9000, without a user "
            "name or query"
        )
