"""Which texts are secrets, in which forms, and that other texts stay as they are."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoenix_compat.bounded import brief, plain, shortened
from phoenix_compat.redaction import FILTERED, LiveSecrets, is_credential
from tests.patience import patient

SECRET = 'Zoë/+ "hunter\\2" = %x&y\n.'
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Jn-_x9"


def knowing(*secrets: str | bytes) -> LiveSecrets:
    """An object that knows some secrets."""
    known = LiveSecrets()
    known.register(*secrets)
    return known


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda found: found.group().lower(), quote(SECRET)),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"a": SECRET}))[1:-1].partition(": ")[2][2:-3],
        repr(SECRET)[1:-1],
        repr(SECRET.encode())[2:-1],
    ],
)
def test_a_known_secret_is_hidden_in_every_form(form: str) -> None:
    """As it is, in a URL, in JSON, in JSON in JSON, as the repr of str and bytes."""
    redacted = knowing(SECRET).redacted(f"before {form} between {form}, after")

    assert redacted == f"before {FILTERED} between {FILTERED}, after"


@pytest.mark.parametrize(
    "cut",
    [
        shortened("word " + "abcdefghijkl", 15),
        plain("word " + "abcdefghijkl", 12),
        brief(b"word " + b"abcdefghijkl" * 90),
        json.dumps(shortened("word abcdefghijkl", 13)),
        "word abcdefgh\n…[cut]…\n",
    ],
)
def test_the_beginning_of_a_secret_is_hidden_where_a_text_was_cut(cut: str) -> None:
    """A part of it cannot be found as the secret."""
    redacted = knowing("abcdefghijkl").redacted(cut)

    assert "abcde" not in redacted
    assert "word [FILTERED]" in redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token r8_Ab3dEf, bad", "token [FILTERED], bad"),
        ("'r8_ab\u00e9cd'", "'[FILTERED]'"),
        ("pck_aB-9_x.", "[FILTERED]."),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[FILTERED]"),
        ("SFMyNTY.g2gDYQFuBgDo.Cx-9_", "[FILTERED]"),
        ("XCP.g2gDYQFuBgDoCx-9_", "[FILTERED]"),
        (f"jwt={JWT}", "jwt=[FILTERED]"),
        ("eyJhbGciOiJIUzI1NiJ9…", "[FILTERED]…"),
        ("Authorization: Bearer abc123.x/y+z==", "Authorization: Bearer [FILTERED]"),
        ("BEARER abc123xyz9", "BEARER [FILTERED]"),
        ("Bearer%20abc123xyz9", "Bearer%20[FILTERED]"),
        ("Bearer correcthorsebatterystaple", "Bearer [FILTERED]"),
        (
            "['phoenix', 'base64url.bearer.phx.YWJj']",
            "['phoenix', 'base64url.bearer.phx.[FILTERED]']",
        ),
        ("https://me:pass@host.example/x", "https://[FILTERED]@host.example/x"),
        ("/a?vsn=2.0.0&userToken=x%20y&b=1", "/a?vsn=2.0.0&userToken=[FILTERED]&b=1"),
        ("'/a?API_KEY=x'", "'/a?API_KEY=[FILTERED]'"),
        ("/a?p[password]=x", "/a?p[password]=[FILTERED]"),
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str, expected: str) -> None:
    """Also if nobody has registered it."""
    assert LiveSecrets().redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "GET /api/tasks?status=queued&limit=5", "r8_ is the beginning", "a tracker8_x"),
        *("a Bearer token is missing", "WWW-Authenticate: Bearer", "join task:0192b7c1-7c1e"),
        *("https://api.replicate.com/v1", "me@example.com", "eyJ", "XCP.", "pck_"),
        *("key:alice", "Sec-WebSocket-Key must be 16 bytes", "a=b&c", "…", "[FILTERED]"),
    ],
)
def test_other_texts_stay(text: str) -> None:
    """They only remind of a secret."""
    assert knowing("abcdefghijkl").redacted(text) == text


def test_short_secrets_do_not_shred_texts() -> None:
    """One of six or seven characters is hidden where it is a word; a shorter one is not."""
    known = knowing("queued", "info", "true", "", "abcdefgh")

    assert known.redacted("[info] queued=true, requeued") == f"[info] {FILTERED}=true, requeued"
    assert known.redacted("xabcdefghx") == f"x{FILTERED}x"


def test_the_number_of_secrets_is_limited() -> None:
    """The first ones are forgotten and counted; registering one again makes it the latest."""
    known = LiveSecrets(max_secrets=3)

    known.register("secret-1", "secret-2", "secret-3", "secret-1", "secret-4", None)

    assert known.forgotten == 1
    assert known.redacted("secret-2") == "secret-2"
    for text in ("secret-1", "secret-3", "secret-4"):
        assert known.redacted(text) == FILTERED


def test_bytes_are_texts() -> None:
    """A key of bytes is hidden as the text that it may be shown as."""
    assert knowing(b"0123456789").redacted("b'0123456789'") == f"b'{FILTERED}'"
    assert knowing(b"\xff" * 9).redacted("nothing") == "nothing"


def test_names_of_parameters_can_be_added() -> None:
    """Further words hide further query parameters; the usual ones stay."""
    known = LiveSecrets()
    known.hide_parameters(["ssn", "a.b"])

    assert known.redacted("/?mySSN=1&axb=2&a.b=3&key=4") == (
        f"/?mySSN={FILTERED}&axb=2&a.b={FILTERED}&key={FILTERED}"
    )
    assert is_credential("mySSN", ["ssn"])


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(min_size=8, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_a_known_secret_never_stays(secret: str, before: str, after: str) -> None:
    """Whatever characters it has and whatever stands beside it."""
    known = knowing(secret)

    redacted = known.redacted(f"{before} {secret} {after}")

    assert secret not in redacted.replace(FILTERED, "\0")
    assert known.redacted(redacted).count("[FILTERED]") >= 1


@pytest.mark.parametrize(
    "text",
    [
        *("?" * 9_000 + "=", "?key" * 2_250, "?" + "key" * 3_000 + "=", "&=?" * 3_000),
        *("bearer " * 1_300, "bearer " + "a" * 9_000, "://" * 3_000, "://" + "a" * 9_000),
        *("eyJ" * 3_000, "r8_" * 3_000, "…abcdef" * 1_200, "abcdef" * 1_500 + "…"),
        *("SFMyNTY." * 1_100, "XCP." + "." * 9_000, "?token" * 1_500 + "="),
    ],
)
def test_no_text_is_slow(text: str) -> None:
    """A line of 9 KB takes milliseconds, also if it was made to be slow."""
    known = knowing("abcdefghijkl")
    started_s = time.process_time()

    known.redacted(text)

    assert time.process_time() - started_s < patient(0.1)
