"""Settings that go into headers and URLs: errors say what is wrong and where, but quote nothing."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import load_settings
from phoenix_compat.server.process.settings.header_values import MAX_TOKEN_CHARS

NO_FILE = Path("/dev/null")

BAD_TOKENS = [
    ("r8_abcdéfgh", "a character outside of ASCII at position 8"),
    ("r8_ab\ncdefgh", "a line break at position 6"),
    ("r8_ab\rcdefgh", "a line break at position 6"),
    ("r8_ab\tcdefgh", "a tab at position 6"),
    ("r8_ab cdefgh", "a space at position 6"),
    ("r8_ab\x00cdefgh", "a control character at position 6"),
    ("r8_ab\x7fcdefgh", "a control character at position 6"),
    ("r8_ab\u200bcdefgh", "a character outside of ASCII at position 6"),
    ("r8_" + "x" * MAX_TOKEN_CHARS, f"longer than {MAX_TOKEN_CHARS} characters"),
]


def is_free_of_secrets(text: str) -> bool:
    """Whether a text contains no part of the tokens above."""
    return not any(part in text for part in ("r8_", "cdefgh", "abcd", "xxxx", "é"))


@pytest.mark.parametrize(("token", "reason"), BAD_TOKENS)
def test_a_token_that_no_header_can_carry(tmp_path: Path, token: str, reason: str) -> None:
    """S3: given as a variable or in a file: the variable, the kind of character, its position."""
    token_file = tmp_path / "token"
    token_file.write_bytes(token.encode())

    for variable, value in (
        ("REPLICATE_API_TOKEN", token),
        ("REPLICATE_API_TOKEN_FILE", str(token_file)),
    ):
        with pytest.raises(ConfigError) as refused:
            load_settings({}, NO_FILE, {variable: value})

        [line] = str(refused.value).splitlines()
        assert line.startswith(f"{variable}: ")
        assert reason in line
        assert is_free_of_secrets(line)


def test_a_token_file_that_is_not_utf8(tmp_path: Path) -> None:
    """The error has the position of the first character that is not ASCII."""
    token_file = tmp_path / "token"
    token_file.write_bytes(b"r8_ab\xe9cdefgh\n")

    with pytest.raises(ConfigError, match="outside of ASCII at position 6") as refused:
        load_settings({}, NO_FILE, {"REPLICATE_API_TOKEN_FILE": str(token_file)})

    assert is_free_of_secrets(str(refused.value))
    assert "0xe9" not in str(refused.value)


@pytest.mark.parametrize("text", ["r8_mine", "r8_mine\n", " \r\n r8_mine \r\n\n", "\tr8_mine"])
def test_white_space_around_the_token_of_a_file_is_ignored(tmp_path: Path, text: str) -> None:
    """Editors and shells add it; it is not part of the token."""
    token_file = tmp_path / "token"
    token_file.write_text(text)

    settings = load_settings({}, NO_FILE, {"REPLICATE_API_TOKEN_FILE": str(token_file)})

    assert settings.replicate_api_token is not None
    assert settings.replicate_api_token.get_secret_value() == "r8_mine"


def test_an_empty_token_is_refused(tmp_path: Path) -> None:
    """In the configuration file the empty string, in a variable white space."""
    path = tmp_path / "c.toml"
    path.write_text('replicate_api_token = ""')

    with pytest.raises(ConfigError, match=r"replicate_api_token \(.*, line 1\): is empty"):
        load_settings({}, path, {})
    with pytest.raises(ConfigError, match="a space at position 1"):
        load_settings({}, NO_FILE, {"REPLICATE_API_TOKEN": "  "})


def test_a_token_given_as_the_token_file_is_not_shown() -> None:
    """If the two are mixed up, the error does not quote the path, which is the token."""
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        load_settings({}, NO_FILE, {"REPLICATE_API_TOKEN_FILE": "r8_abcdefgh"})

    assert is_free_of_secrets(str(refused.value))


def test_pydantic_shows_no_secret() -> None:
    """Pydantic's errors usually quote the input; those of Settings do not."""
    for arguments in (
        {"replicate_api_token": "r8_ab\ncdefgh"},
        {"replicate_api_token": ["r8_abcdefgh"]},
        {"replicate_api_token": "r8_abcdefgh", "replicate_api_token_file": "x"},
        {"replicate_api_token": "r8_abcdefgh", "port": "x"},
        {"public_url": "https://user:r8_abcdefgh@example.com"},
    ):
        with pytest.raises(pydantic.ValidationError) as refused:
            Settings(**arguments)

        assert is_free_of_secrets(str(refused.value))
        assert is_free_of_secrets(repr(refused.value))


@pytest.mark.parametrize("setting", ["replicate_base_url", "public_url"])
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("user:r8_abcdefgh@example.com", "must not contain a user name or password"),
        ("bücher.example", "a character outside of ASCII at position 10"),
        ("exa\x00mple.com", "a control character at position 12"),
        ('exa"mple.com', "a character that is not allowed at position 12"),
        ("example.com:port", "cannot be read"),
        ("example.com:99999", "cannot be read"),
        ("[::1", "cannot be read"),
        (":80", "has no host"),
        ("example.com?key=r8_abcdefgh", "must not contain '?' or '#'"),
        ("x" * 5_000, "longer than"),
    ],
)
def test_an_invalid_address_is_refused(setting: str, host: str, reason: str) -> None:
    """The error says what is wrong, and quotes no password."""
    with pytest.raises(ConfigError) as refused:
        load_settings({setting: f"https://{host}"}, NO_FILE, {})

    assert f"--{setting.replace('_', '-')}: " in str(refused.value)
    assert reason in str(refused.value)
    assert "abcdefgh" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8901", "https://[::1]:4000", "https://xn--bcher-kva.example/"]
)
def test_usual_addresses_are_accepted(url: str) -> None:
    """With a port, an IPv6 address, a name in Punycode."""
    settings = load_settings({"public_url": url, "replicate_base_url": url}, NO_FILE, {})

    assert (settings.public_url, settings.replicate_base_url) == (url, url)
