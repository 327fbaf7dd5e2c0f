"""Reading Cookie headers."""

from __future__ import annotations

import pytest

from phoenix_compat.protocol.cookies import decode_cookies


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["key1=value1;key2=value2"], {"key1": "value1", "key2": "value2"}),
        (["key1=value1;  key2=value2; "], {"key1": "value1", "key2": "value2"}),
        (["a=first; a=second"], {"a": "first"}),
        (["a=first", "a=second; b=2"], {"a": "second", "b": "2"}),
        (["$key1=value1; a=x=y"], {"$key1": "value1", "a": "x=y"}),
        (["a=; b=%20 ; c=x y"], {"a": "", "b": "%20", "c": "x y"}),
        (['a="quoted"'], {"a": '"quoted"'}),
        (["key; =x; ke y=1; ok=1"], {"ok": "1"}),
        (["a=1\t2; b=\n; ok=1"], {"ok": "1"}),
        (["session=é"], {"session": "é"}),
    ],
)
def test_cookies(headers: list[str], expected: dict[str, str]) -> None:
    """The first one of a name counts, and what is not a cookie is ignored, as in Plug."""
    assert decode_cookies(headers) == expected
