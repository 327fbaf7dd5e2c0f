"""Creates reproducible archives: sorted names, no owner, one timestamp."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

_LEVEL = 9


def tar_gz(folder: Path, prefix: str, epoch_s: int) -> bytes:
    """Pack a folder as .tar.gz.

    Args:
        prefix: the prefix of each name, "" or "name/".
        epoch_s: the modification time of all members.
    """
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", _LEVEL, packed, epoch_s) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        if prefix:
            archive.addfile(_member(folder, prefix.rstrip("/"), epoch_s))
        for path in sorted(folder.rglob("*")):
            member = _member(path, prefix + path.relative_to(folder).as_posix(), epoch_s)
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return packed.getvalue()


def _member(path: Path, name: str, epoch_s: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = epoch_s
    if path.is_symlink():
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    else:
        status = path.stat()
        member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    return member
