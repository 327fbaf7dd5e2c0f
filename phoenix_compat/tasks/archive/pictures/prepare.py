"""Makes the file that is stored from a picture that a client has sent."""

# ruff: noqa: PLC0415 - Pillow takes 4 MB and some time, and an idle server has no picture

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from phoenix_compat.tasks.archive.errors import RefusedFileError
from phoenix_compat.tasks.archive.file_type import TYPES_BY_EXTENSION, FileType
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.pictures.file_bytes import FileBytes
from phoenix_compat.tasks.archive.pictures.layout import UPRIGHT, Layout, blocks_of
from phoenix_compat.tasks.archive.pictures.metadata import has_layout, layout_of
from phoenix_compat.tasks.memory import give_memory_back

_BLOCK_BYTES: Final = 128 * 1024
_HEIC: Final = "image/heic"


def can_have_metadata(content_type: str) -> bool:
    """Whether a file of this type is checked, and cleaned of metadata that are known here."""
    return content_type == _HEIC or has_layout(content_type)


class Plan(NamedTuple):
    """What has to be done with a picture.

    Attributes:
        turns: whether its pixels must be decoded, which only one picture at a time may do.
        layout: what to leave out otherwise; None to store it as it is.
    """

    turns: bool
    layout: Layout | None


def plan_for(path: Path, file_type: FileType, *, keeps_metadata: bool) -> Plan:
    """Check a complete picture, and find out what has to be done with it. Blocks.

    Raises:
        RefusedFileError: it is broken, too large when decoded, or a HEIC that cannot be read here.
    """
    from phoenix_compat.tasks.archive.pictures.upright import check_size, reads_heic

    if file_type.content_type == _HEIC:
        if not reads_heic():
            raise RefusedFileError(
                "wrong_type",
                "is HEIC, which this server cannot read; export it as JPEG, as docs/ios.md shows, "
                'or ask the operator to install "phoenix-compat[heif]"',
            )
        check_size(path, _HEIC)
        return Plan(turns=True, layout=None)
    with FileBytes.of(path) as data:
        layout = layout_of(data, file_type.content_type)
    check_size(path, file_type.content_type)
    if layout is None or keeps_metadata:
        return Plan(turns=False, layout=None)
    if layout.orientation != UPRIGHT:
        return Plan(turns=True, layout=None)
    return Plan(turns=False, layout=layout if layout.has_metadata else None)


def write_without_metadata(path: Path, layout: Layout, target: IncomingFile) -> None:
    """Write what is left of a picture without its metadata. Blocks.

    Raises:
        ArchiveError: it cannot be written.
    """
    with FileBytes.of(path) as data:
        for block in blocks_of(data, layout.kept, _BLOCK_BYTES):
            target.write(block)


def write_upright(path: Path, file_type: FileType, target: IncomingFile) -> FileType:
    """Write a picture anew, upright; returns its type. Blocks, and needs much memory.

    Raises:
        RefusedFileError: it cannot be decoded.
        ArchiveError: it cannot be written.
    """
    from phoenix_compat.tasks.archive.pictures.upright import turn_upright

    turned = target.path.with_suffix(".turned.part")
    try:
        turn_upright(path, file_type.content_type, turned, target.check_free_space)
        with turned.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                target.write(block)
    finally:
        give_memory_back()
        turned.unlink(missing_ok=True)
    return TYPES_BY_EXTENSION["jpg"] if file_type.content_type == _HEIC else file_type
