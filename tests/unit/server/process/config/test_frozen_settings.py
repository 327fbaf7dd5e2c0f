"""The settings that a supervisor gives to its workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.redaction import live_secrets
from phoenix_compat.server.engine import check_settings, task_types_of
from phoenix_compat.server.process.config.frozen_settings import FrozenSettings, unpack_settings
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import load_settings

TYPES = '[poster]\ntask_type = "poster_gen"\nresult = "image"\ndefault_model = "owner/{}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and the files that it names."""
    (tmp_path / "types.toml").write_text(TYPES.format("one"))
    (tmp_path / "token").write_text("r8_of_the_token_file")
    (tmp_path / "secret").write_text("s" * 40)
    (tmp_path / "c.toml").write_text(
        'data_dir = "data"\nport = 4321\nauth = ["jwt"]\njwt_algorithms = ["HS256"]\n'
        'jwt_secret_file = "secret"\nreplicate_api_token_file = "token"\n'
        'task_types_file = "types.toml"\nkeep_tasks_s = 3600.5\n'
    )
    return tmp_path


def loaded(folder: Path) -> Settings:
    """The settings of the configuration in a folder."""
    return load_settings({"log_level": "error"}, folder / "c.toml", {})


def test_a_worker_gets_all_settings_as_they_were_read(folder: Path) -> None:
    """E1: every value arrives as it was, secrets included, and secrets are hidden there too."""
    settings = loaded(folder)

    unpacked = unpack_settings(FrozenSettings(settings, check_settings).pack())

    assert unpacked == settings.with_contents(unpacked.contents)
    token = unpacked.replicate_api_token
    assert token is not None
    assert token.get_secret_value() == "r8_of_the_token_file"
    assert "r8_of_the_token_file" not in live_secrets.redacted("r8_of_the_token_file")


def test_files_that_settings_name_are_frozen_too(folder: Path) -> None:
    """E2: task types and secrets are those of the start, whatever is in their files meanwhile."""
    frozen = FrozenSettings(loaded(folder), check_settings)
    (folder / "types.toml").write_text("[[[")
    (folder / "secret").unlink()
    (folder / "token").unlink()

    unpacked = unpack_settings(frozen.pack())

    check_settings(unpacked)
    assert task_types_of(unpacked)["poster"].default_model == "owner/one"


def test_a_reload_changes_what_can_change(folder: Path) -> None:
    """After a valid reload new workers get the new values of reloadable settings alone."""
    frozen = FrozenSettings(loaded(folder), check_settings)
    text = (folder / "c.toml").read_text()
    (folder / "c.toml").write_text(text.replace("4321", "1234").replace("3600.5", "7200"))
    (folder / "types.toml").write_text(TYPES.format("two"))

    frozen.reload(loaded(folder))

    unpacked = unpack_settings(frozen.pack())
    assert (unpacked.port, unpacked.keep_tasks_s) == (4321, 7200)
    assert task_types_of(unpacked)["poster"].default_model == "owner/two"


def test_an_invalid_reload_changes_nothing(folder: Path) -> None:
    """E2: settings that fail their check are not kept."""
    frozen = FrozenSettings(loaded(folder), check_settings)
    before = frozen.pack()
    (folder / "types.toml").write_text("[[[")

    frozen.reload(loaded(folder))

    assert frozen.pack() == before


def test_a_text_that_is_no_settings_is_refused() -> None:
    """A worker of another version says what to do."""
    with pytest.raises(ConfigError, match="restart the server"):
        unpack_settings("{}")
