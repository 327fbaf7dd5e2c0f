"""Creates files and folders that only their owner may read, whatever the umask, durably.

Prompts, pictures and tokens are private. What exists already keeps its mode, because an operator
may have given access to a group on purpose. All functions block.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Literal

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_OTHERS: Final = 0o007


def open_private(
    path: Path, mode: Literal["ab", "wb", "xb", "x+b"], *, is_buffered: bool = True
) -> IO[bytes]:
    """Open a file for writing, and create it with mode 0600.

    Raises:
        OSError: as `open` does.
    """
    return open(path, mode, -1 if is_buffered else 0, opener=_private_opener)


def write_all(file: IO[bytes], content: bytes) -> None:
    """Write to an unbuffered file, which on a nearly full disk takes only a part at a time.

    Raises:
        OSError: as `write` does.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)


def make_private_folder(folder: Path) -> tuple[Path, ...]:
    """Create a folder and its missing parents with mode 0700. Returns the created ones, in order.

    Their names are on the disk when this returns.

    Raises:
        OSError: it cannot be created, or a file has its name.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing[1:]):
        one.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    for one in missing:
        fsync_path(one.parent)
    return tuple(reversed(missing))


def fsync_path(path: Path) -> None:
    """Call fsync on a file, or on a folder so that the names in it are durable."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder, and needs no fsync
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replaced_privately(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that gets its name only when the block ends without an error.

    It is on the disk when the block has ended. A replaced file keeps its mode. Devices, pipes and
    sockets are written directly.

    Raises:
        OSError: it cannot be written; the error names the file, even if the system does not.
    """
    if path.exists() and not path.is_file():
        with naming(path), path.open("wb") as file:
            yield file
        return
    target = path.resolve()  # a symbolic link stays
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        error.filename = str(path)  # the user has not named the temporary file
        raise
    unfinished = Path(name)
    try:
        with naming(path):
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                unfinished.chmod(target.stat().st_mode & 0o777)
            unfinished.replace(target)
            fsync_path(target.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Give errors of the block that name no file this one: those of write and fsync have none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def is_open_to_others(path: Path) -> bool:
    """Whether the mode lets every user read, write or enter a file or folder that exists."""
    if os.name != "posix":
        return False
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False
