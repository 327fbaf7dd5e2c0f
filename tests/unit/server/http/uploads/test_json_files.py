"""Files are taken out of a JSON body while it arrives, however it is cut into blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_compat.server.http.uploads.json_files import JSONFiles
from phoenix_compat.tasks.model.inputs.file_inputs import inline_files

HEAD = "data:image/jpeg;base64"


class Parts:
    """What a body consists of.

    Attributes:
        files: the field, head and text of each complete file.
    """

    def __init__(self) -> None:
        self.content = b""
        self.files: list[tuple[str, str, str]] = []
        self._current = ("", "")
        self._text = b""

    def rest(self, content: bytes) -> None:
        self.content += content

    def begin_file(self, field: str, head: str) -> bytes:
        self._current, self._text = (field, head), b""
        return b"file %d" % len(self.files)

    def file_text(self, text: bytes) -> None:
        self._text += text

    def end_file(self) -> None:
        self.files.append((*self._current, self._text.decode()))


def parts_of(body: bytes, cuts: Iterator[int] | None = None) -> Parts:
    """Read a body in blocks of these sizes; at once without them."""
    parts = Parts()
    files = JSONFiles(parts)
    at = 0
    while at < len(body):
        end = len(body) if cuts is None else at + next(cuts)
        files.feed(body[at:end])
        at = end
    return parts


TEXTS = st.text(st.sampled_from('a,=/+"\\{}[]:\n\x00é😀 '), max_size=12)
VALUES = st.one_of(
    TEXTS,
    st.sampled_from([f"{HEAD},/9j/4AAQ", f"{HEAD},", "data:,x", "data:text/html,x", HEAD]),
    st.builds(lambda text: f"{HEAD},{text}", st.text(st.sampled_from("AZ/+= "), max_size=40)),
)
NAMES = st.sampled_from(["image", "image_input", "prompt", "mask", "x", 'a"b', "data:,"])
INPUTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.one_of(VALUES, st.integers(), st.none()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=4,
)


@given(
    INPUTS,
    VALUES,
    st.booleans(),
    st.sampled_from([None, 2]),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_the_same_files_as_in_the_whole_body(
    input_data: dict[str, Any], other: str, is_ascii: bool, indent: int | None, sizes: list[int]
) -> None:
    """With placeholders in their places, and everything else as it was."""
    document = {"other": other, "input_data": input_data, "image": other}
    body = json.dumps(document, ensure_ascii=is_ascii, indent=indent).replace("/", "\\/").encode()

    def cuts() -> Iterator[int]:
        while True:
            yield from sizes

    parts = parts_of(body, cuts())

    expected = {one.field: one.value for one in inline_files(input_data)}
    assert {field: f"{head},{text}" for field, head, text in parts.files} == expected
    rest = json.loads(parts.content)
    for number, (field, _, _) in enumerate(parts.files):
        _, name, *index = field.split(".")
        if index:
            rest["input_data"][name][int(index[0])] = expected[field]
            continue
        assert rest["input_data"][name] == f"file {number}"
        rest["input_data"][name] = expected[field]
    assert rest == document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"input_data": {"image": "data:image/png;base64,AAAA',
        b'}}]],,::"x" "data:image/png;base64,AAAA"',
        b'["input_data", {"image": "data:image/png;base64,AAAA"}]',
        b'{"input_data": ["data:image/png;base64,AAAA"]}',
        b'{"input_data": {"image": {"image": "data:image/png;base64,AAAA"}}}',
        b'{"input_data": {"' + b"a" * 2_000 + b'": "data:image/png;base64,AAAA"}}',
        b'{"input_data": {"data:image/png;base64,AAAA": 1}}',
        b'{"input_data": {"prompt": "data:image/png;base64,AAAA"}}',
        b'{"input_data": {"image": "data:' + b"a" * 5_000 + b',AAAA"}}',
    ],
)
def test_what_is_no_file_stays(body: bytes) -> None:
    """Texts, names, other places, and what is not JSON; a file that is cut off has no end."""
    parts = parts_of(body)

    assert parts.files == []
    assert parts.content == body or b"image/png" not in parts.content


@pytest.mark.parametrize("text", ["A\tA", "A\nA", "\\u00e9", "\\q", "\\\\"])
def test_what_base64_does_not_have_makes_it_invalid(text: str) -> None:
    """What JSON refuses is refused in the text of a file too."""
    parts = parts_of(f'{{"input_data": {{"image": "{HEAD},{text}"}}}}'.encode())

    [(_, _, found)] = parts.files
    assert "\\" in found


def test_escapes_are_read() -> None:
    """Encoders may escape slashes and any other character."""
    body = rb'{"input_d\u0061ta":{"imag\u0065":"data:image\/png;base64,A\/\u0041\u002b\r\n="}}'

    for size_bytes in range(1, len(body)):
        parts = parts_of(body, iter([size_bytes, len(body)]))

        assert parts.files == [("input_data.image", "data:image/png;base64", "A/A+\r\n=")]
