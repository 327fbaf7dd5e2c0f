"""Settings from flags, environment and file: who wins, what comes from where, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.config_file import find_config_file
from phoenix_compat.server.process.configuration import (
    exposed_secret,
    load_configuration,
    load_settings,
)
from phoenix_compat.server.process.settings import Settings


def a_file(folder: Path, text: str) -> Path:
    """A configuration file with this text."""
    path = folder / "config.toml"
    path.write_text(text)
    return path


def refusal(text: str, folder: Path, **environment: str) -> list[str]:
    """The lines of the error that this file and environment lead to."""
    with pytest.raises(ConfigError) as refused:
        load_settings({}, a_file(folder, text), environment)
    return str(refused.value).splitlines()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Each setting is taken from the first place that has it, and the origin says which."""
    path = a_file(tmp_path, 'host = "0.0.0.0"\nport = 1\nworkers = 2\n')
    environment = {"PHOENIX_COMPAT_PORT": "3", "PHOENIX_COMPAT_WORKERS": "4"}

    found = load_configuration({"port": 5, "host": None}, path, environment)

    names = ("port", "workers", "host", "log_level")
    assert {name: (found.shown(name), found.origins[name]) for name in names} == {
        "port": ("5", "flag --port"),
        "workers": ("4", "variable PHOENIX_COMPAT_WORKERS"),
        "host": ("0.0.0.0", f"file {path}"),  # noqa: S104 - nobody listens
        "log_level": ("info", "default"),
    }


def test_without_anything_all_are_defaults() -> None:
    """No flag, no variable, no file: what Settings says."""
    found = load_configuration({}, Path("/dev/null"), {})

    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    """A variable that is set to nothing, as compose files do, leaves the setting to the file."""
    path = a_file(tmp_path, "port = 1\n")
    environment = {"PHOENIX_COMPAT_PORT": "", "PUBLIC_URL": "", "REPLICATE_API_TOKEN": ""}

    found = load_configuration({}, path, environment)

    assert (found.settings.port, found.origins["port"]) == (1, f"file {path}")
    assert found.settings.public_url is None
    assert not found.settings.has_token


def test_an_allowed_host_with_more_than_a_name_is_a_mistake(tmp_path: Path) -> None:
    """The line says what was given, where, and what to write instead."""
    (line,) = refusal('allowed_hosts = ["fine.lan", "http://nas.lan:4000"]', tmp_path)

    assert line.startswith("allowed_hosts: 'http://nas.lan:4000' is more than a host name")
    assert "write 'nas.lan'" in line
    assert f"file {tmp_path}" in line


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Each line has the name, the reason, the value, its origin and what is expected."""
    lines = refusal(
        "prt = 1\nport = 70000\n",
        tmp_path,
        PHOENIX_COMPAT_LOG_LEVEL="loud",
        PHOENIX_COMPAT_FILE_HOSTS="[",
        PHOENIX_COMPAT_HOTS="x",
    )

    told = {line.partition(":")[0]: line for line in lines}
    assert set(told) == {"prt", "port", "log_level", "file_hosts", "PHOENIX_COMPAT_HOTS"}
    assert told["prt"].endswith(f"(file {tmp_path / 'config.toml'}); did you mean port?")
    assert told["PHOENIX_COMPAT_HOTS"].endswith("(variable); did you mean host?")
    assert f"(it is 70000, file {tmp_path / 'config.toml'}); expected: port" in told["port"]
    assert "(it is 'loud', variable PHOENIX_COMPAT_LOG_LEVEL)" in told["log_level"]
    assert "is no JSON" in told["file_hosts"]


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """The token stands in no listing and in no error."""
    path = a_file(tmp_path, 'replicate_api_token = "r8_secret"')

    found = load_configuration({}, path, {})
    lines = refusal('replicate_api_token = ["r8_secret"]', tmp_path)

    assert found.shown("replicate_api_token") == "**********"
    assert "r8_secret" not in repr(found)
    assert "r8_secret" not in "\n".join(lines)


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """The same file means the same wherever the command is run; a flag is relative to there."""
    path = a_file(tmp_path, 'data_dir = "here"\nkinds_file = "/etc/kinds.toml"')

    assert load_settings({}, path, {}).data_dir == tmp_path / "here"
    assert load_settings({}, path, {}).kinds_file == Path("/etc/kinds.toml")
    assert load_settings({"data_dir": Path("there")}, path, {}).data_dir == Path("there")


def test_the_token_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The first line of that file is the token; one that is missing or empty is an error."""
    held = tmp_path / "token"
    held.write_text("r8_mine\n")
    settings = load_settings({}, Path("/dev/null"), {"REPLICATE_API_TOKEN_FILE": str(held)})
    assert settings.replicate_api_token is not None
    assert settings.replicate_api_token.get_secret_value() == "r8_mine"

    held.write_text("")
    assert "holds no token" in refusal(f'replicate_api_token_file = "{held}"', tmp_path)[0]
    held.unlink()
    assert "cannot be read" in refusal(f'replicate_api_token_file = "{held}"', tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = ", "is no TOML"),
        ("[server]\nport = 1", "server: there is no such setting"),
        ('unix_socket = "s"\nworkers = 2', "one process"),
        ('replicate_api_token = "a"\nreplicate_api_token_file = "b"', "give one of them"),
        ('unix_socket_mode = "0990"', "unix_socket_mode"),
        (f'unix_socket = "/{"x" * 120}"', "at most 107 bytes"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Files that are no TOML, tables, and settings that exclude each other."""
    assert reason in "\n".join(refusal(text, tmp_path))


def test_which_file_is_read(tmp_path: Path) -> None:
    """The flag, else the variable, else the first place that has one, else none."""
    here, there = tmp_path / "here.toml", tmp_path / "there.toml"
    named = {"PHOENIX_COMPAT_CONFIG": "named.toml"}
    assert find_config_file(None, {}, (here, there)) is None

    there.touch()

    assert find_config_file(None, {}, (here, there)) == there
    assert find_config_file(None, named, (here, there)) == Path("named.toml")
    assert find_config_file(Path("flag.toml"), named, (here, there)) == Path("flag.toml")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A name that leads nowhere is an error with a way out, and not passed over."""
    with pytest.raises(ConfigError, match=r"cannot read .*No such file.*phoenix-compat init"):
        load_settings({}, tmp_path / "nothing.toml", {})


def test_a_token_that_others_may_read_is_told(tmp_path: Path) -> None:
    """The warning names the file and the command that mends it."""
    path = a_file(tmp_path, 'replicate_api_token = "r8_mine"')
    path.chmod(0o644)
    assert exposed_secret(load_configuration({}, path, {})) == (
        f"{path} holds the token and every user may read it; chmod 640 {path}"
    )

    path.chmod(0o640)

    assert exposed_secret(load_configuration({}, path, {})) is None
