"""Says in one line what is wrong with a setting, where it was given, and what it must be.

    --port: must be a whole number from 0 to 65535, not 99999
    log_level (c.toml, line 3): must be debug, info, warning or error, not 'loud'
    PUBLIC_URL: must not contain a user name or password

No secret is quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import SecretStr
from pydantic_core import ErrorDetails

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.expectation import expectation, own_reason
from phoenix_compat.server.process.settings import CONFLICT, Settings
from phoenix_compat.server.process.settings.files import secrets_of_files_url
from phoenix_compat.server.process.settings.header_values import MASK, masked
from phoenix_compat.server.process.settings.nodes import URL_SECRETS, secrets_of_url

SECRETS: Final = frozenset({"replicate_api_token", "jwt_secret", "files_url", *URL_SECRETS})

TABLES_WITH_SECRETS: Final[Mapping[str, str]] = {"on_task_webhooks": "secret"}
"""Settings that are lists of tables, with the field of the tables that is a secret."""

_SECRETS_OF: Final[Mapping[str, Callable[[str], Iterable[str]]]] = {
    "files_url": secrets_of_files_url,
    **dict.fromkeys(URL_SECRETS, secrets_of_url),
}
_MAX_VALUE_CHARS: Final = 60
_DEPTH_OF_ENTRY: Final = 2
"""How many parts the location of an entry in a list has: the setting and the index."""


class SettingsError(ConfigError):
    """Settings that cannot work.

    Attributes:
        problems: a line for each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Given(NamedTuple):
    """A value as it was given.

    Attributes:
        origin: where it was given, for lists of settings: "flag --port", "variable PORT" or
            "file PATH".
        written: the setting's name as the user wrote it, for error messages: "--port",
            "PHOENIX_COMPAT_PORT" or "port (PATH, line 3)".
    """

    value: object
    origin: str
    written: str


def describe(found: ErrorDetails, given: Mapping[str, Given]) -> str:
    """The line for an error of pydantic's. `given` are the values by the setting's name."""
    if found["type"] == CONFLICT:
        context = found["ctx"]
        names = {name: given[name].written for name in context["settings"] if name in given}
        return str(context["text"]).format(**names)
    name = str(found["loc"][0])
    one = given[name]
    reason = own_reason(found)
    if reason is not None:
        is_entry = len(found["loc"]) > 1  # the text quotes a list's entry, so not the whole list
        return (
            one.written
            + ": "
            + reason
            + ("" if is_entry else _quoted(name, one.value, " (it is {})"))
        )
    if len(found["loc"]) > _DEPTH_OF_ENTRY:  # a field of a table, which may be its secret
        return f"{one.written}: {_of_table(found)}"
    expected = expectation(Settings.model_fields[name])
    return f"{one.written}: must be {expected}{_quoted(name, one.value, ', not {}')}"


def _of_table(found: ErrorDetails) -> str:
    """What is wrong with a field of a table in a list, without quoting it."""
    field = str(found["loc"][_DEPTH_OF_ENTRY])
    match found["type"]:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is not known here; docs/other-backends.md says what is"
        case _:
            return f"{field} is not valid"


def _quoted(name: str, value: object, form: str) -> str:
    if name in SECRETS or name in TABLES_WITH_SECRETS:
        return ""
    text = masked(repr(str(value) if isinstance(value, Path) else value)).replace(MASK, "…")
    text = text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"
    return form.format(text)


def secrets_in(name: str, value: object) -> Iterator[str]:
    """The secrets in the value of a setting, as it was given; it may be invalid."""
    if name in SECRETS:
        entries: list[object] = [value]
    elif name in TABLES_WITH_SECRETS and isinstance(value, list | tuple):
        field = TABLES_WITH_SECRETS[name]
        entries = [entry.get(field) for entry in value if isinstance(entry, Mapping)]
    else:
        return
    for entry in entries:
        text = entry.get_secret_value() if isinstance(entry, SecretStr) else entry
        if isinstance(text, str):
            yield from _SECRETS_OF.get(name, _whole)(text)


def _whole(text: str) -> Iterable[str]:
    return (text,)
