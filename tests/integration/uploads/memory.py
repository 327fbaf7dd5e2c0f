"""Measures the memory of a server while photos arrive.

    python -m tests.integration.uploads.memory --photos 10

The server and the emulator run in processes of their own. Photos of 12 megapixels are sent at once,
in each of the ways that there are, and the highest memory of the server is compared with what it
had before. It prints a table; the exit code is 1 when a bound does not hold. Needs Linux.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import aiohttp
import click
from PIL import Image

from phoenix_compat.tasks.archive.pictures.layout import UPRIGHT
from tests.integration.operations.commands import server
from tests.integration.uploads.photo import data_url, edit
from tests.patience import patient
from tests.unit.tasks.archive.pictures import camera

SIZE_PX: Final = (4_032, 3_024)
MAX_MB_EACH: Final = 2.0
"""The bound for the memory that a photo takes while it arrives."""
MAX_TURNING_MB: Final = 150.0
"""The bound for the pixels of the photo that is turned; one at a time."""
MAX_LEFT_MB: Final = 10.0
"""What may be left afterwards of the memory that turning took."""

_JFIF: Final = slice(6, 11)
_DENSITY: Final = slice(14, 18)
_KB: Final = 1_000 / 1_024
_GIVEN_BACK_S: Final = 5.0
_JPEG: Final = {"Content-Type": "image/jpeg"}
_JSON: Final = {"Content-Type": "application/json"}


@cache
def _first_photo(orientation: int) -> bytes:
    """A JPEG of twelve megapixels with EXIF, as large as that of a camera."""
    noise = Image.effect_noise((SIZE_PX[0] // 2, SIZE_PX[1] // 2), 60.0).resize(SIZE_PX)
    picture = Image.merge("RGB", (noise, noise.rotate(180), noise))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, exif=camera.exif(orientation))
    return buffer.getvalue()


def large_photo(number: int, orientation: int = 1) -> bytes:
    """The photo with another number of dots per inch, so that its content is another one."""
    photo = _first_photo(orientation)
    assert photo[_JFIF] == b"JFIF\0"
    return photo[: _DENSITY.start] + struct.pack(">HH", number, number) + photo[_DENSITY.stop :]


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a process in MB, as Linux counts it (resident set)."""

    now_mb: float
    peak_mb: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Read it. The peak is the highest since `forget_peaks`."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return cls(*(int(values[name].split()[0]) / 1e3 / _KB for name in ("VmRSS", "VmHWM")))


def memories(pid: int) -> dict[int, Memory]:
    """Of a process and those that it started."""
    return {one: Memory.of(one) for one in (pid, *_started_by(pid))}


def _started_by(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [one for child in map(int, text.split()) for one in (child, *_started_by(child))]


def forget_peaks(pid: int) -> None:
    """Let the peaks begin again at what the processes have now."""
    for one in (pid, *_started_by(pid)):
        Path(f"/proc/{one}/clear_refs").write_text("5")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to send photos.

    Attributes:
        limit_mb: how much more memory the server may have while `count` photos arrive.
    """

    name: str
    path: str
    orientation: int
    limit_mb: Callable[[int], float]
    as_form: bool = False


def _straight(count: int) -> float:
    return MAX_MB_EACH * count


def _turned(count: int) -> float:
    return MAX_TURNING_MB + MAX_MB_EACH * count


WAYS: Final = (
    Way("raw", "/api/files", UPRIGHT, _straight),
    Way("multipart", "/api/files", UPRIGHT, _straight, as_form=True),
    Way("inline", "/api/tasks", UPRIGHT, _straight),
    Way("raw, turned", "/api/files", 6, _turned),
    Way("multipart, turned", "/api/files", 6, _turned, as_form=True),
    Way("inline, turned", "/api/tasks", 6, _turned),
)


@dataclass(frozen=True, slots=True)
class Growth:
    """What was seen of one way, in the process of the server whose memory grew most.

    Attributes:
        peak_mb: how much more memory the server had at most.
        left_mb: how much more it had once it was idle again.
        sent_bytes: the size of one photo.
    """

    way: Way
    count: int
    sent_bytes: int
    peak_mb: float
    left_mb: float

    @property
    def is_given_back(self) -> bool:
        """Whether little is left."""
        return self.left_mb <= max(MAX_LEFT_MB, MAX_MB_EACH * self.count)

    @property
    def is_ok(self) -> bool:
        """Whether the bounds hold."""
        return self.peak_mb <= self.way.limit_mb(self.count) and self.is_given_back

    def line(self) -> str:
        """A line of the table."""
        return (
            f"{self.way.name:<20}{self.count:>3} x {self.sent_bytes / 1e6:4.1f} MB"
            f"{self.peak_mb:>9.1f} MB{self.way.limit_mb(self.count):>9.1f} MB"
            f"{self.left_mb:>9.1f} MB  {'ok' if self.is_ok else 'TOO MUCH'}"
        )


HEAD: Final = f"{'sent':<34}{'most':>12}{'bound':>12}{'left':>12}"


@asynccontextmanager
async def running(folder: Path, workers: int) -> AsyncIterator[tuple[int, str]]:
    """The process id and the address of a server whose emulator is another process."""
    data_dir = ("--data-dir", str(folder))
    emulator = ("-m", "phoenix_compat", "emulator", "--port", "0", "--speed", "20")
    async with server(*emulator) as (_, base_url):
        count = () if workers == 1 else ("--workers", str(workers))
        serve = ("server.py", "serve", "--port", "0", *data_dir, *count)
        changes = {
            "REPLICATE_API_TOKEN": "r8_test",
            "REPLICATE_BASE_URL": base_url,
            "PHOENIX_COMPAT_FILE_HOSTS": json.dumps([base_url.removesuffix("/v1")]),
        }
        async with server(*serve, **changes) as (process, url):
            yield process.pid, url


async def measure(pid: int, url: str, way: Way, photos: Sequence[bytes]) -> Growth:
    """Send photos at once, and look at the memory of the server."""
    forget_peaks(pid)
    before = memories(pid)
    bodies = [_body(way, one) for one in photos]
    timeout = aiohttp.ClientTimeout(total=patient(60.0))
    async with aiohttp.ClientSession(timeout=timeout) as http:

        async def send(body: bytes, headers: dict[str, str]) -> None:
            async with http.post(url + way.path, data=io.BytesIO(body), headers=headers) as answer:
                assert answer.status in {201, 202}, await answer.text()

        await asyncio.gather(*(send(*body) for body in bodies))
    peak_mb = max(one.peak_mb - before[pid].now_mb for pid, one in memories(pid).items())
    deadline_s = time.monotonic() + patient(_GIVEN_BACK_S)
    while True:
        left_mb = max(one.now_mb - before[pid].now_mb for pid, one in memories(pid).items())
        growth = Growth(way, len(photos), len(photos[0]), peak_mb, left_mb)
        if growth.is_given_back or time.monotonic() > deadline_s:
            return growth
        await asyncio.sleep(0.1)


def _body(way: Way, photo: bytes) -> tuple[bytes, dict[str, str]]:
    if way.path == "/api/tasks":
        return json.dumps(edit(data_url(photo))).encode(), _JSON
    if not way.as_form:
        return photo, _JPEG
    boundary = f"b{random.getrandbits(64):x}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = b"".join((head.encode(), photo, f"\r\n--{boundary}--\r\n".encode()))
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


async def measure_all(
    folder: Path,
    ways: Sequence[Way],
    count: int,
    turned_count: int | None = None,
    *,
    workers: int = 1,
) -> AsyncIterator[Growth]:
    """Each way in turn, after one photo of each that loads what the server needs for it.

    Args:
        turned_count: how many photos that must be turned are sent at once; None for `count`.
        workers: how many processes the server has.
    """
    numbers = iter(range(1, 1_000))
    async with running(folder, workers) as (pid, url):
        for way in ways:
            await measure(pid, url, way, [large_photo(next(numbers), way.orientation)])
        for way in ways:
            many = count if way.orientation == UPRIGHT or turned_count is None else turned_count
            photos = [large_photo(next(numbers), way.orientation) for _ in range(many)]
            yield await measure(pid, url, way, photos)


@click.command()
@click.option(
    "--photos", "count", default=10, show_default=True, help="Photos that are sent at once."
)
@click.option("--way", "names", multiple=True, help="Send only in this way; repeatable.  [all]")
@click.option("--workers", default=1, show_default=True, help="Processes of the server.")
def main(*, count: int, workers: int, names: tuple[str, ...]) -> None:
    """Measure the memory of a server while photos arrive."""
    ways = [way for way in WAYS if not names or way.name in names]

    async def run(folder: Path) -> bool:
        click.echo(HEAD)
        is_ok = True
        async for growth in measure_all(folder, ways, count, workers=workers):
            click.echo(growth.line())
            is_ok &= growth.is_ok
        return is_ok

    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if asyncio.run(run(Path(folder))) else 1)


if __name__ == "__main__":
    main()
