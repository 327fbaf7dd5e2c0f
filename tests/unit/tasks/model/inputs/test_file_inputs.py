"""Which values of an input are files, and which are texts."""

from __future__ import annotations

import pytest

from phoenix_compat.tasks.model.inputs.file_inputs import (
    inline_files,
    inline_hash,
    is_file_name,
    replace_files,
    upload_hash,
    upload_reference,
    used_uploads,
)

HASH = "0123456789abcdef" * 4
OTHER = "f" * 64
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    "name",
    ["image", "input_image", "image_prompt", "mask", "audio", "start_frame", "subject", "x" * 99],
)
def test_names_of_files(name: str) -> None:
    """An input with a name that nobody knows may be a file."""
    assert is_file_name(name)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "text", "lyrics", "Message"])
def test_names_of_texts(name: str) -> None:
    """A text is never a file, whatever it contains (C11)."""
    given = {name: PNG, "other": upload_reference(HASH)[:-1]}

    assert not is_file_name(name)
    assert inline_files(given) == []
    assert used_uploads(given) == ()
    assert replace_files(given, lambda _: "replaced")[name] == PNG


@pytest.mark.parametrize(
    "value",
    [
        "data:text/plain,hello",
        "data:application/json;base64,e30=",
        "https://example.com/data:image/png;base64,AAAA",
        "data:image/png",
        " data:image/png;base64,AAAA",
        7,
        None,
        {"url": PNG},
    ],
)
def test_other_values_are_left_alone(value: object) -> None:
    """Addresses, other types of data: URLs and nested values are no files."""
    assert inline_files({"image": value}) == []


def test_files_are_found_with_their_fields() -> None:
    """Lists too; media types in capital letters, or absent."""
    given = {
        "image": PNG,
        "images": ["https://x.example/a.png", "DATA:;BASE64,AAAA", "data:video/mp4,x", 3],
        "type": "image",
    }

    assert [one.field for one in inline_files(given)] == [
        "input_data.image",
        "input_data.images.1",
        "input_data.images.2",
    ]


def test_references_are_found_once() -> None:
    """Each hash once, with the first field that has it; other forms are no references."""
    given = {
        "mask": upload_reference(HASH),
        "images": [upload_reference(OTHER), upload_reference(HASH), f"upload:{HASH.upper()}"],
        "image": f"upload:../{HASH}",
    }

    found = used_uploads(given)

    assert [(one.field, one.sha256) for one in found] == [
        ("input_data.mask", HASH),
        ("input_data.images.0", OTHER),
    ]
    assert upload_hash(f"{upload_reference(HASH)}\n") is None


def test_files_are_replaced_and_the_input_is_not_changed() -> None:
    """Only texts where a file may be are given to the function."""
    given = {"prompt": "a", "image": "b", "images": ["c", 1], "seed": 2}

    replaced = replace_files(given, str.upper)

    assert replaced == {"prompt": "a", "image": "B", "images": ["C", 1], "seed": 2}
    assert given["images"] == ["c", 1]


def test_the_hash_of_an_inline_file() -> None:
    """It is the hash of the content; a broken or percent-encoded URL has none."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert inline_hash("data:image/png;base64,") == empty
    assert inline_hash("data:image/png;base64,A") is None
    assert inline_hash("data:image/png,A") is None
    assert inline_hash(["data:image/png;base64,"]) is None
