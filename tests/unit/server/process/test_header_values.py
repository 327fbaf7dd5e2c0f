"""Settings that go into headers and URLs: refused with kind and place, and never shown."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.configuration import load_settings
from phoenix_compat.server.process.header_values import MAX_TOKEN_CHARS
from phoenix_compat.server.process.settings import Settings

NOWHERE = Path("/dev/null")

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


def shows_no_part(text: str) -> bool:
    """Whether a text has nothing of the tokens above."""
    return not any(part in text for part in ("r8_", "cdefgh", "abcd", "xxxx", "é"))


@pytest.mark.parametrize(("token", "told"), BAD_TOKENS)
def test_a_token_that_no_header_can_carry(tmp_path: Path, token: str, told: str) -> None:
    """S3: as variable and in a file of its own: which setting, what kind, and where."""
    held = tmp_path / "token"
    held.write_bytes(token.encode())

    for setting, environment in (
        ("replicate_api_token", {"REPLICATE_API_TOKEN": token}),
        ("replicate_api_token_file", {"REPLICATE_API_TOKEN_FILE": str(held)}),
    ):
        with pytest.raises(ConfigError) as refused:
            load_settings({}, NOWHERE, environment)

        [line] = str(refused.value).splitlines()
        assert line.startswith(f"{setting}: ")
        assert told in line
        assert shows_no_part(line)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file in another encoding is told by the place of its first odd character."""
    held = tmp_path / "token"
    held.write_bytes(b"r8_ab\xe9cdefgh\n")

    with pytest.raises(ConfigError, match="outside of ASCII at position 6") as refused:
        load_settings({}, NOWHERE, {"REPLICATE_API_TOKEN_FILE": str(held)})

    assert shows_no_part(str(refused.value))
    assert "0xe9" not in str(refused.value)


@pytest.mark.parametrize("text", ["r8_mine", "r8_mine\n", " \r\n r8_mine \r\n\n", "\tr8_mine"])
def test_white_space_around_the_token_of_a_file(tmp_path: Path, text: str) -> None:
    """Editors and shells put it there; it is no part of the token."""
    held = tmp_path / "token"
    held.write_text(text)

    settings = load_settings({}, NOWHERE, {"REPLICATE_API_TOKEN_FILE": str(held)})

    assert settings.replicate_api_token is not None
    assert settings.replicate_api_token.get_secret_value() == "r8_mine"


def test_an_empty_token_is_told(tmp_path: Path) -> None:
    """A line of the file without a token, and white space for one, say nothing."""
    path = tmp_path / "c.toml"
    path.write_text('replicate_api_token = ""')

    with pytest.raises(ConfigError, match="replicate_api_token: is empty"):
        load_settings({}, path, {})
    with pytest.raises(ConfigError, match="a space at position 1"):
        load_settings({}, NOWHERE, {"REPLICATE_API_TOKEN": "  "})


def test_a_token_where_its_file_should_be() -> None:
    """Whoever mixes the two up finds the name of neither in a log."""
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        load_settings({}, NOWHERE, {"REPLICATE_API_TOKEN_FILE": "r8_abcdefgh"})

    assert shows_no_part(str(refused.value))


def test_pydantic_shows_no_secret() -> None:
    """Its own texts quote what they were given; those of the settings do not."""
    for arguments in (
        {"replicate_api_token": "r8_ab\ncdefgh"},
        {"replicate_api_token": ["r8_abcdefgh"]},
        {"replicate_api_token": "r8_abcdefgh", "replicate_api_token_file": "x"},
        {"replicate_api_token": "r8_abcdefgh", "port": "x"},
        {"public_url": "https://user:r8_abcdefgh@example.com"},
    ):
        with pytest.raises(pydantic.ValidationError) as refused:
            Settings(**arguments)

        assert shows_no_part(str(refused.value))
        assert shows_no_part(repr(refused.value))


@pytest.mark.parametrize("setting", ["replicate_base_url", "public_url"])
@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("user:r8_abcdefgh@example.com", "must not hold a user name or password"),
        ("bücher.example", "a character outside of ASCII at position 10"),
        ("exa\x00mple.com", "a control character at position 12"),
        ('exa"mple.com', "a character that is not allowed at position 12"),
        ("example.com:port", "cannot be read"),
        ("example.com:99999", "cannot be read"),
        ("[::1", "cannot be read"),
        (":80", "has no host"),
        ("example.com?key=r8_abcdefgh", "must end before"),
        ("x" * 5_000, "longer than"),
    ],
)
def test_an_address_that_cannot_be(setting: str, host: str, told: str) -> None:
    """What goes into URLs and headers is told with what is wrong, without a password in it."""
    with pytest.raises(ConfigError) as refused:
        load_settings({setting: f"https://{host}"}, NOWHERE, {})

    assert setting in str(refused.value)
    assert told in str(refused.value)
    assert "abcdefgh" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8901", "https://[::1]:4000", "https://xn--bcher-kva.example/"]
)
def test_usual_addresses_are_taken(url: str) -> None:
    """With a port, an IPv6 address, a name in Punycode."""
    settings = load_settings({"public_url": url, "replicate_base_url": url}, NOWHERE, {})

    assert (settings.public_url, settings.replicate_base_url) == (url, url)
