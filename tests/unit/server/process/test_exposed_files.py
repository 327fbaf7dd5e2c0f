"""Secrets that other users of the machine may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.server.process import exposed_files
from phoenix_compat.server.process.settings.configuration import Configuration, load_configuration

SECRET_FILES = (
    *("replicate_api_token_file", "secret_key_base_file", "jwt_secret_file", "token_file"),
    *("smtp_password_file", "tls_private_key_file", "files_url_file"),
)
OTHER_FILES = ("task_types_file", "jwt_public_key_file", "jwks_file", "tokens_of_models")


@pytest.fixture
def found(tmp_path: Path) -> Configuration:
    """A configuration whose token is in a file of its own."""
    file = tmp_path / "token"
    file.write_text("r8_mine")
    return load_configuration({"replicate_api_token_file": file}, None, {})


@pytest.mark.parametrize(("mode", "is_exposed"), [(0o644, True), (0o602, True), (0o640, False)])
def test_a_token_file_that_others_may_read_is_named(
    found: Configuration, *, mode: int, is_exposed: bool
) -> None:
    """The sentence has the path and the command; the group may read the file."""
    path = found.settings.replicate_api_token_file
    assert path is not None
    path.chmod(mode)

    sentences = exposed_files.exposed_secrets(found)

    said = f"{path} holds the token and every user may read it; chmod 640 {path}"
    assert sentences == ((said,) if is_exposed else ())


@pytest.mark.parametrize("name", [*SECRET_FILES, *OTHER_FILES])
def test_files_with_secrets_are_recognised_by_the_names_of_their_settings(name: str) -> None:
    """A public key is not a secret."""
    assert (exposed_files.names_secret_file(name)) == (name in SECRET_FILES)


def test_a_file_that_is_gone_is_not_exposed(found: Configuration) -> None:
    """It may have been removed after the start."""
    path = found.settings.replicate_api_token_file
    assert path is not None
    path.unlink()

    assert exposed_files.exposed_secrets(found) == ()
