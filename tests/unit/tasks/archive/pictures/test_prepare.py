"""Pictures that clients send lose their metadata, and are turned where the camera says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageOps, ImageStat

from phoenix_compat.tasks.archive.errors import RefusedFileError
from phoenix_compat.tasks.archive.file_type import FileType, file_type_of
from phoenix_compat.tasks.archive.incoming_file import IncomingFile
from phoenix_compat.tasks.archive.pictures import upright
from phoenix_compat.tasks.archive.pictures.prepare import (
    plan_for,
    write_upright,
    write_without_metadata,
)
from tests.unit.tasks.archive.pictures import camera

Make = Callable[[int], bytes]
KINDS: tuple[Make, ...] = (camera.jpeg, camera.png, camera.webp)
WORDS = (camera.PLACE.encode(), b"Camera of Ada", b"xmpmeta", b"Exif\0\0", b"second")


def prepared(
    folder: Path, content: bytes, *, keeps_metadata: bool = False
) -> tuple[bytes, FileType]:
    """What is stored of a picture, and its type."""
    path, target = folder / "in.part", IncomingFile(folder, lambda _: None)
    path.write_bytes(content)
    file_type = file_type_of(content[:4_096])
    try:
        plan = plan_for(path, file_type, keeps_metadata=keeps_metadata)
        if plan.turns:
            file_type = write_upright(path, file_type, target)
        elif plan.layout is not None:
            write_without_metadata(path, plan.layout, target)
        else:
            return content, file_type
        return target.path.read_bytes(), file_type
    finally:
        target.discard()


@pytest.mark.parametrize("make", KINDS)
def test_metadata_are_removed_without_reencoding(tmp_path: Path, make: Make) -> None:
    """The place is gone, the pixels are exactly the same, and the profile is kept."""
    content = make(1)
    assert all(word in content for word in WORDS[:2])

    clean, file_type = prepared(tmp_path, content)

    assert not any(word in clean for word in WORDS)
    before, after = camera.pixels(content), camera.pixels(clean)
    assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None
    assert before.info.get("icc_profile") == after.info.get("icc_profile")
    assert file_type is file_type_of(content)
    assert prepared(tmp_path, clean)[0] == clean


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_pixels_are_turned_where_the_orientation_asks_for_it(
    tmp_path: Path, make: Make, orientation: int
) -> None:
    """The stored picture looks the same without EXIF as the sent one with it."""
    content = make(orientation)

    clean, _ = prepared(tmp_path, content)

    with Image.open(tmp_path / "in.part") as sent:
        expected = ImageOps.exif_transpose(sent).convert("RGB")
    found = camera.pixels(clean)
    assert not any(word in clean for word in WORDS)
    assert found.size == expected.size == ((40, 80) if orientation >= 5 else (80, 40))
    assert found.getexif() == {}
    assert found.info.get("icc_profile") == camera.pixels(content).info.get("icc_profile")
    difference = ImageChops.difference(found.convert("RGB"), expected)
    assert max(ImageStat.Stat(difference).mean) < 4.0


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_operator_can_keep_everything(tmp_path: Path, make: Make, orientation: int) -> None:
    """Then the file is stored as it is."""
    content = make(orientation)

    assert prepared(tmp_path, content, keeps_metadata=True)[0] == content


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_are_turned_too(tmp_path: Path, mode: str) -> None:
    """Grey pictures, and those for printing."""
    clean, _ = prepared(tmp_path, camera.jpeg(6, mode))

    assert (camera.pixels(clean).mode, camera.pixels(clean).size) == (mode, (40, 80))


@pytest.mark.parametrize("make", KINDS)
def test_a_picture_that_is_cut_off_is_refused(tmp_path: Path, make: Make) -> None:
    """Wherever it is cut, up to its last byte."""
    whole = prepared(tmp_path, make(1))[0]

    for end in {len(whole) - 1, len(whole) // 2, 30, 16}:
        with pytest.raises(RefusedFileError) as refused:
            prepared(tmp_path, whole[:end])
        assert refused.value.reason == "broken"


@pytest.mark.parametrize("keeps_metadata", [False, True])
def test_a_bomb_is_refused_undecoded(tmp_path: Path, *, keeps_metadata: bool) -> None:
    """The text says the bound."""
    with pytest.raises(RefusedFileError, match=r"too many pixels; at most [0-9]+ are") as refused:
        prepared(tmp_path, camera.png_bomb(), keeps_metadata=keeps_metadata)

    assert refused.value.reason == "too_many_pixels"


def test_a_large_picture_is_not_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that would take too much memory is refused, unless it needs no turning."""
    monkeypatch.setattr(upright, "MAX_DECODED_BYTES", 4 * 80 * 40 - 1)

    assert prepared(tmp_path, camera.jpeg(1))[0]
    with pytest.raises(RefusedFileError, match="at most 3199 are accepted"):
        prepared(tmp_path, camera.jpeg(6))
    assert [path.name for path in tmp_path.iterdir()] == ["in.part"]


def test_a_picture_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    """An "EXIF bomb" of a hundred thousand segments."""
    with pytest.raises(RefusedFileError, match="more than 20000 parts"):
        prepared(tmp_path, camera.exif_bomb(100_000))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    make=st.sampled_from(KINDS),
    orientation=st.sampled_from([1, 6]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_pictures_are_stored_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    make: Make,
    orientation: int,
    changes: list[tuple[float, int]],
) -> None:
    """Whatever bytes are changed, nothing else is raised and nothing is left behind."""
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(make(orientation))
    for place, value in changes:
        content[12 + int(place * (len(content) - 13))] = value

    with contextlib.suppress(RefusedFileError):
        prepared(folder, bytes(content))

    assert [path.name for path in folder.iterdir()] == ["in.part"]


@pytest.mark.parametrize(("make", "is_refused"), [(camera.jpeg, False), (camera.png, True)])
def test_png_is_in_memory_twice_while_it_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, *, is_refused: bool
) -> None:
    """So it may have half as many pixels; others are turned by way of a file."""
    monkeypatch.setattr(upright, "MAX_DECODED_BYTES", 2 * 4 * 80 * 40 - 1)

    with pytest.raises(RefusedFileError) if is_refused else contextlib.nullcontext():
        prepared(tmp_path, make(6))

    assert [path.name for path in tmp_path.iterdir()] == ["in.part"]


def test_heic_is_refused_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says how to go on."""
    monkeypatch.setattr(upright, "find_spec", lambda _name: None)

    with pytest.raises(RefusedFileError, match="export it as JPEG") as refused:
        prepared(tmp_path, b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic")

    assert refused.value.reason == "wrong_type"


def test_heic_becomes_an_upright_jpeg(tmp_path: Path) -> None:
    """With the extra; without metadata."""
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    sent = tmp_path / "sent.heic"
    try:
        camera.picture().save(sent, "HEIF", exif=camera.exif())
    except (OSError, RuntimeError, KeyError) as error:
        pytest.skip(f"this pillow-heif cannot write: {error}")

    clean, file_type = prepared(tmp_path, sent.read_bytes())

    assert file_type.content_type == "image/jpeg"
    assert camera.pixels(clean).size == (80, 40)
    assert not any(word in clean for word in WORDS)


def test_a_broken_heic_is_refused(tmp_path: Path) -> None:
    """With the extra, too."""
    pytest.importorskip("pillow_heif")

    with pytest.raises(RefusedFileError) as refused:
        prepared(tmp_path, b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic" + bytes(500))

    assert refused.value.reason == "broken"
