"""GIF, AVIF and videos lose their metadata too, without being encoded again."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageSequence

from phoenix_compat.tasks.archive.errors import RefusedFileError
from tests.unit.tasks.archive.pictures import camera
from tests.unit.tasks.archive.pictures.test_prepare import Make, prepared

PLACE = camera.PLACE.encode()
VIDEOS = [
    camera.video(brand, is_wide=is_wide)
    for brand in (b"isom", b"qt  ", b"M4A ")
    for is_wide in (False, True)
]


def frames(content: bytes) -> list[Image.Image]:
    with Image.open(io.BytesIO(content)) as opened:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]


@pytest.mark.parametrize("make", [camera.gif, camera.avif])
def test_pictures_keep_their_pixels(tmp_path: Path, make: Make) -> None:
    """Comments, XMP and EXIF are gone, all frames are there, and a second time changes nothing."""
    content = make(1)

    clean, _ = prepared(tmp_path, content)

    assert PLACE in content
    assert not any(word in clean for word in (PLACE, b"Camera of Ada", b"xmpmeta"))
    before, after = frames(content), frames(clean)
    assert len(before) == len(after) == (2 if make is camera.gif else 1)
    for one, other in zip(before, after, strict=True):
        assert ImageChops.difference(one, other).getbbox() is None
    with Image.open(io.BytesIO(clean)) as opened:
        assert opened.getexif() == {}
        assert opened.info.get("loop") == (0 if make is camera.gif else None)
    assert prepared(tmp_path, clean)[0] == clean


@pytest.mark.parametrize("content", VIDEOS)
def test_videos_keep_their_places(tmp_path: Path, content: bytes) -> None:
    """The place is overwritten, and every sample is where it was."""
    clean, file_type = prepared(tmp_path, content)

    assert PLACE in content
    assert PLACE not in clean
    assert b"location" not in clean
    assert len(clean) == len(content)
    samples = content.index(b"mdat")
    assert clean[samples:] == content[samples:]
    assert clean.index(b"mvhd") == content.index(b"mvhd")
    assert clean.count(b"free") == 4
    assert file_type.family in {"video", "audio"}
    assert prepared(tmp_path, clean)[0] == clean


@pytest.mark.parametrize("content", [camera.gif(), camera.avif(), *VIDEOS])
def test_the_operator_can_keep_everything(tmp_path: Path, content: bytes) -> None:
    """Then the file is stored as it is."""
    assert prepared(tmp_path, content, keeps_metadata=True)[0] == content


@pytest.mark.parametrize("content", [camera.gif()[:-8], camera.avif(), camera.video()])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, content: bytes) -> None:
    """In the middle of a block or a box."""
    for end in (len(content) - 2, len(content) // 2, 40):
        with pytest.raises(RefusedFileError) as refused:
            prepared(tmp_path, content[:end])
        assert refused.value.reason == "broken"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([camera.gif(), camera.avif(), camera.video()[:700]]),
    st.lists(st.tuples(st.integers(12, 699), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_files_are_stored_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, changes: list[tuple[int, int]]
) -> None:
    """Whatever is in it, nothing else happens."""
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(content)] = value
    try:
        prepared(tmp_path_factory.mktemp("damaged"), bytes(damaged))
    except RefusedFileError:
        return
