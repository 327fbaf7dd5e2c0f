"""Keeps secrets out of texts for people: log lines, tracebacks and error messages.

Hidden are:

- the secrets that this process knows (`live_secrets`): plain, URL-encoded, JSON-escaped, as `repr`
- what looks like a credential of Replicate or of this server, a Phoenix.Token, a JWT or `Bearer …`
- user names and passwords in URLs, and query parameters whose names tell that they are credentials

A log line without any of this costs one or two microseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

FILTERED: Final = "[FILTERED]"
CREDENTIAL_WORDS: Final = (
    *("auth", "bearer", "cookie", "credential", "jwt", "key", "passphrase", "passwd", "password"),
    *("pwd", "secret", "session", "token"),
)
"""A parameter is a credential if its name contains one of these words, in any case."""

MAX_SECRETS: Final = 512
MIN_SECRET_CHARS: Final = 6
"""Shorter secrets are not searched for: a secret such as "true" would make the log unreadable."""
_MIN_SUBSTRING_CHARS: Final = 8
"""A secret that is shorter is hidden only where it is a whole word."""
_MIN_CUT_CHARS: Final = 6

_END: Final = r"[^\s'\"\\,;&<>…]"
_PATTERNS: Final = re.compile(
    rf"""(?<![A-Za-z0-9]) (?: r8_ | whsec_ ) {_END}+
    | (?<![A-Za-z0-9]) pck_ [A-Za-z0-9_-]+
    | (?:SFMyNTY|SFMzODQ|SFM1MTI|XCP|QTEyOEdDTQ) \. [A-Za-z0-9_.-]{{8,}}
    | eyJ [A-Za-z0-9_-]{{8,}} (?: \.[A-Za-z0-9_-]* ){{0,4}}
    | (?<=bearer\.phx\.) {_END}+
    | (?i: (?<=bearer\ ) | (?<=bearer\+) | (?<=bearer%20) )
      (?= {_END}*[0-9._=-] | {_END}{{20}} ) {_END}{{8,}}
    | (?<=://) [^/\s@'"…]+ (?=@)
    """,
    re.VERBOSE,
)
_MARKERS: Final = (
    *("r8_", "pck_", "whsec_", "eyJ", "SFMyNTY.", "SFMzODQ.", "SFM1MTI.", "XCP.", "QTEyOEdDTQ."),
    *("earer", "EARER", "://"),
)
"""One of them is in every text that `_PATTERNS` can match."""
_CUT_MARKS: Final = ("…", r"\xe2\x80\xa6", r"\u2026")
"""How `bounded` ends a text that it has cut: as such, in the `repr` of bytes, in JSON."""


class LiveSecrets:
    """The secrets of a process; of more than `max_secrets` the first ones are forgotten.

    Attributes:
        forgotten: how many were.
    """

    def __init__(self, max_secrets: int = MAX_SECRETS) -> None:
        self.forgotten = 0
        self._max_secrets = max_secrets
        self._secrets: dict[str, None] = {}
        self._needles: tuple[str, ...] = ()
        self._short: re.Pattern[str] | None = None
        self._query = _query_pattern(CREDENTIAL_WORDS)

    def register(self, *secrets: str | bytes | None) -> None:
        """Hide these secrets from now on; None and very short ones are ignored."""
        for secret in secrets:
            text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret or ""
            if len(text) < MIN_SECRET_CHARS:
                continue
            self._secrets.pop(text, None)
            self._secrets[text] = None
            if len(self._secrets) > self._max_secrets:
                del self._secrets[next(iter(self._secrets))]
                self.forgotten += 1
        forms = {form for secret in self._secrets for form in _forms(secret)}
        by_length = sorted(forms, key=lambda form: (-len(form), form))
        short = [form for form in by_length if len(form) < _MIN_SUBSTRING_CHARS]
        # Log lines are written by several threads: each attribute is replaced as a whole.
        self._needles = tuple(by_length[: len(by_length) - len(short)])
        self._short = _whole_words(short) if short else None

    def hide_parameters(self, words: Iterable[str]) -> None:
        """Hide query parameters whose name contains one of these words, besides the usual ones."""
        self._query = _query_pattern((*CREDENTIAL_WORDS, *words))

    def redacted(self, text: str) -> str:
        """The text without secrets."""
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, FILTERED)
        if self._needles and any(mark in text for mark in _CUT_MARKS):
            text = self._without_cut_secrets(text)
        if self._short is not None:
            text = self._short.sub(FILTERED, text)
        for marker in _MARKERS:
            if marker in text:
                text = _PATTERNS.sub(FILTERED, text)
                break
        if "=" in text and ("?" in text or "&" in text):
            text = self._query.sub(rf"\1{FILTERED}", text)
        return text

    def _without_cut_secrets(self, text: str) -> str:
        """Hide the beginning of a secret at the place where a text was cut."""
        for needle in self._needles:
            begin = needle[:_MIN_CUT_CHARS]
            at = text.find(begin)
            while at >= 0:
                end = at + _common_chars(text[at : at + len(needle)], needle)
                if text[end : end + 1] == "\n" or text.startswith(_CUT_MARKS, end):
                    text = text[:at] + FILTERED + text[end:]
                at = text.find(begin, at + 1)
        return text


def is_credential(name: str, words: Iterable[str] = CREDENTIAL_WORDS) -> bool:
    """Whether a parameter of this name is a credential: the name contains one of the words."""
    folded = name.casefold()
    return any(word in folded for word in words)


def _forms(secret: str) -> set[str]:
    """How a secret may look in a text."""
    quoted = [
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    ]
    lower = [re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), text) for text in quoted]
    as_json = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    twice = [json.dumps(text)[1:-1] for text in as_json]
    shown = [repr(secret)[1:-1], repr(secret.encode("utf-8", "replace"))[2:-1]]
    return {secret, *quoted, *lower, *as_json, *twice, *shown}


def _whole_words(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, words))})(?![\w-])")


def _query_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Matches a parameter in a URL; group 1 is all before its value."""
    names = "|".join(re.escape(word) for word in words)
    name = r"[^=&?#\s'\"\\]"
    return re.compile(rf"([?&]{name}{{0,100}}?(?:{names}){name}{{0,100}}=)[^&#\s'\"\\…]+", re.I)


def _common_chars(left: str, right: str) -> int:
    """How many characters at the beginning are the same."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


live_secrets: Final = LiveSecrets()
"""The secrets of this process; every part that reads or makes one registers it here."""
