"""The files that clients send as inputs of tasks."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from phoenix_compat.server.process.settings.part import SettingsPart

_MIB: Final = 2**20


class UploadSettings(SettingsPart):
    """The part of `Settings` about this subject."""

    max_inline_body_bytes: int = Field(
        12 * _MIB,
        ge=0,
        le=64 * _MIB,
        description="limit for the body of a task that has files inline, as data: URLs, in bytes, "
        "at most 67108864; bodies without files may have 262144",
    )
    max_upload_bytes: int = Field(
        25 * _MIB,
        ge=1,
        le=2**31,
        description="limit for one file that a client sends, in bytes",
    )
    keep_upload_metadata: bool = Field(
        default=False,
        description="whether photos and videos that clients send keep their metadata, with the "
        "place where they were taken",
    )
    send_inputs_as_links: bool = Field(
        default=False,
        description="whether Replicate gets files of more than 256 kB as links to this server, by "
        "public_url, instead of copies",
    )
    owner_upload_bytes_per_day: int = Field(
        2**30,
        ge=0,
        description="limit for the new files that one owner sends within 24 hours, in bytes; "
        "0 for no limit",
    )
