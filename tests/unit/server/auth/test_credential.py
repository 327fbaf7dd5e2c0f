"""Where credentials stand in a request, and what kind they are."""

from __future__ import annotations

import pytest

from phoenix_compat.server.auth.credential import (
    MAX_CREDENTIAL_BYTES,
    CredentialForm,
    CredentialPlaces,
    form_of,
    single,
)
from phoenix_compat.server.auth.errors import UnauthorizedError

PLACES = CredentialPlaces.of(("X-API-Key",), ("userToken",))


@pytest.mark.parametrize(
    ("credential", "form"),
    [
        ("pck_abc", CredentialForm.KEY),
        ("SFMyNTY.a.b", CredentialForm.PHOENIX_TOKEN),
        ("SFMzODQ.a.b", CredentialForm.PHOENIX_TOKEN),
        ("SFM1MTI.a.b", CredentialForm.PHOENIX_TOKEN),
        ("XCP.a", CredentialForm.PHOENIX_TOKEN),
        ("QTEyOEdDTQ.a.b.c.d", CredentialForm.PHOENIX_TOKEN),
        ("eyJhbGciOiJIUzI1NiJ9.e30.x", CredentialForm.JWT),
        ("PCK_abc", CredentialForm.JWT),
        ("", CredentialForm.JWT),
    ],
)
def test_the_form_tells_the_kind(credential: str, form: CredentialForm) -> None:
    """Keys and Phoenix.Tokens have their own beginnings; all else is a JWT."""
    assert form_of(credential) is form


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([("Authorization", "Bearer abc")], ["abc"]),
        ([("authorization", "bearer  abc ")], ["abc"]),
        ([("AUTHORIZATION", "Basic YTpi")], []),
        ([("Authorization", "abc")], []),
        ([("X-Phoenix-AuthToken", "abc")], ["abc"]),
        ([("x-api-key", "abc")], ["abc"]),
        ([("X-API-Key", "Bearer abc")], ["abc"]),
        ([("Cookie", "token=abc"), ("X-Other", "abc")], []),
        ([("Authorization", "Bearer a"), ("X-API-Key", "b")], ["a", "b"]),
        ([("Authorization", "Bearer ")], [""]),
    ],
)
def test_headers(headers: list[tuple[str, str]], found: list[str]) -> None:
    """Bearer tokens and the named headers count; cookies and other schemes do not."""
    assert list(PLACES.in_headers(headers)) == found


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"token": "abc", "vsn": "2.0.0"}, ["abc"]),
        ({"userToken": "a"}, ["a"]),
        ({"usertoken": "a", "jwt": "b"}, []),
        ({"token": "a b  c"}, ["a+b++c"]),
        ({"token": None}, []),
    ],
)
def test_params(params: dict[str, object], found: list[str]) -> None:
    """`token` and the named parameters count, and a `+` that became a space is put right."""
    assert list(PLACES.in_params(params)) == found


@pytest.mark.parametrize("value", [["a"], {"a": "b"}, 5, True])
def test_a_parameter_that_is_not_a_text_is_refused(value: object) -> None:
    """It does not count as missing, so that it is never let in."""
    with pytest.raises(UnauthorizedError, match='"token" is not a text'):
        list(PLACES.in_params({"token": value}))


def test_the_same_credential_in_several_places_is_one() -> None:
    """Apps send it in the socket's params and in a header."""
    assert single(["abc", None, "", "abc"]) == "abc"
    assert single([None, ""]) is None


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (["a", "b"], "different credentials"),
        (["x" * (MAX_CREDENTIAL_BYTES + 1)], "longer than 8192 bytes"),
        (["pck_a\n"], "characters"),
        (["a b"], "characters"),
        (["\udcff"], "characters"),
        (["ä"], "characters"),
    ],
)
def test_what_cannot_be_the_credential(credentials: list[str], reason: str) -> None:
    """Different, very long and unprintable ones are refused; the reason quotes none of them."""
    with pytest.raises(UnauthorizedError, match=reason) as refused:
        single(credentials)

    assert "pck_" not in str(refused.value)
