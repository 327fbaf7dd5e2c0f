"""Settings from flags, environment and file: precedence, origins, and error messages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from phoenix_compat.errors import ConfigError
from phoenix_compat.server.process.config.config_file import find_config_file
from phoenix_compat.server.process.exposed_files import exposed_secrets
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.server.process.settings.configuration import (
    load_configuration,
    load_settings,
)


def a_file(folder: Path, text: str) -> Path:
    """A configuration file with this text."""
    path = folder / "config.toml"
    path.write_text(text)
    return path


def refusal(text: str, folder: Path, **environment: str) -> list[str]:
    """The lines of the error for this file and environment."""
    with pytest.raises(ConfigError) as refused:
        load_settings({}, a_file(folder, text), environment)
    return str(refused.value).splitlines()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    """Each setting is taken from the source with the highest precedence; the origin names it."""
    path = a_file(tmp_path, 'host = "0.0.0.0"\nport = 1\nworkers = 2\n')
    environment = {"PHOENIX_COMPAT_PORT": "3", "PHOENIX_COMPAT_WORKERS": "4"}

    found = load_configuration({"port": 5, "host": None}, path, environment)

    names = ("port", "workers", "host", "log_level")
    assert {name: (found.shown(name), found.origins[name]) for name in names} == {
        "port": ("5", "flag --port"),
        "workers": ("4", "variable PHOENIX_COMPAT_WORKERS"),
        "host": ("0.0.0.0", f"file {path}"),  # noqa: S104 - not for listening
        "log_level": ("info", "default"),
    }


def test_without_flags_variables_and_file_all_settings_have_their_defaults() -> None:
    """The values are those of Settings, and each origin is "default"."""
    found = load_configuration({}, Path("/dev/null"), {})

    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """Compose files set variables to the empty string; the file's value is used then."""
    path = a_file(tmp_path, "port = 1\n")
    environment = {"PHOENIX_COMPAT_PORT": "", "PUBLIC_URL": "", "REPLICATE_API_TOKEN": ""}

    found = load_configuration({}, path, environment)

    assert (found.settings.port, found.origins["port"]) == (1, f"file {path}")
    assert found.settings.public_url is None
    assert not found.settings.has_token


def test_an_allowed_host_with_scheme_and_port_is_refused(tmp_path: Path) -> None:
    """The line says what was given, where, and what to write instead."""
    (line,) = refusal('allowed_hosts = ["fine.lan", "http://nas.lan:4000"]', tmp_path)

    assert line.startswith(
        f"allowed_hosts ({tmp_path / 'config.toml'}, line 1): "
        "'http://nas.lan:4000' is more than a host name"
    )
    assert "write 'nas.lan'" in line


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """Each line has the name as it was written, what is expected, and the value."""
    lines = refusal(
        "prt = 1\nport = 70000\n",
        tmp_path,
        PHOENIX_COMPAT_LOG_LEVEL="loud",
        PHOENIX_COMPAT_FILE_HOSTS="[",
        PHOENIX_COMPAT_HOTS="x",
    )

    file = tmp_path / "config.toml"
    assert lines == [
        f"prt ({file}, line 1): this is not a setting; did you mean port?",
        "PHOENIX_COMPAT_HOTS: this is not a setting; did you mean host?",
        'PHOENIX_COMPAT_FILE_HOSTS: must be a list in JSON, such as ["a", "b"]',
        f"port ({file}, line 2): must be a whole number from 0 to 65535, not 70000",
        "PHOENIX_COMPAT_LOG_LEVEL: must be debug, info, warning or error, not 'loud'",
    ]


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """The token is in no listing and in no error."""
    path = a_file(tmp_path, 'replicate_api_token = "r8_secret"')

    found = load_configuration({}, path, {})
    lines = refusal('replicate_api_token = ["r8_secret"]', tmp_path)

    assert found.shown("replicate_api_token") == "**********"
    assert "r8_secret" not in repr(found)
    assert "r8_secret" not in "\n".join(lines)


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """A path in a file is relative to the file's folder, a flag to the working directory."""
    path = a_file(tmp_path, 'data_dir = "here"\ntask_types_file = "/etc/types.toml"')

    assert load_settings({}, path, {}).data_dir == tmp_path / "here"
    assert load_settings({}, path, {}).task_types_file == Path("/etc/types.toml")
    assert load_settings({"data_dir": Path("there")}, path, {}).data_dir == Path("there")


def test_the_token_can_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The content of that file is the token; a missing or empty file is an error."""
    token_file = tmp_path / "token"
    token_file.write_text("r8_mine\n")
    settings = load_settings({}, Path("/dev/null"), {"REPLICATE_API_TOKEN_FILE": str(token_file)})
    assert settings.replicate_api_token is not None
    assert settings.replicate_api_token.get_secret_value() == "r8_mine"

    token_file.write_text("")
    assert "holds no token" in refusal(f'replicate_api_token_file = "{token_file}"', tmp_path)[0]
    token_file.unlink()
    assert "cannot be read" in refusal(f'replicate_api_token_file = "{token_file}"', tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = ", "is not valid TOML"),
        ("[server]\nport = 1", "line 1): this is not a setting"),
        ('unix_socket = "s"\nworkers = 2', "works with one process only"),
        ('replicate_api_token = "a"\nreplicate_api_token_file = "b"', "remove one of them"),
        ('unix_socket_mode = "0990"', "unix_socket_mode"),
        ('data_dir = "a\\u0000b"', "must not contain a null byte"),
        ("keep_files_s = inf", "must be a number above 0, not inf"),
        ("keep_tasks_s = 1e300", "must be a number from 3600 to "),
        ("port = []", "must be a whole number from 0 to 65535, not []"),
        ("file_hosts = [1]", "must be a list of strings"),
        ('public_url = "https://a.example/path"', "must have no path"),
        ('replicate_base_url = "ftp://a.example"', "must begin with http:// or https://"),
        ('host = ""', "must be a string that is not empty"),
        ("a = " + "[" * 5_000, "is not valid TOML: nested too deep"),
        (f'unix_socket = "/{"x" * 120}"', "longer than 107 bytes"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Invalid TOML, tables, invalid values, and settings that exclude each other."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # a library of another test may have raised it
    try:
        assert reason in "\n".join(refusal(text, tmp_path))
    finally:
        sys.setrecursionlimit(limit)


def test_which_file_is_read(tmp_path: Path) -> None:
    """The file named by flag, or by variable, or the first that exists, or none."""
    here, there = tmp_path / "here.toml", tmp_path / "there.toml"
    named = {"PHOENIX_COMPAT_CONFIG": "named.toml"}
    assert find_config_file(None, {}, (here, there)) is None

    there.touch()

    assert find_config_file(None, {}, (here, there)) == there
    assert find_config_file(None, named, (here, there)) == Path("named.toml")
    assert find_config_file(Path("flag.toml"), named, (here, there)) == Path("flag.toml")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A named file that does not exist is an error that says what to do."""
    with pytest.raises(ConfigError, match=r"cannot read .*No such file.*phoenix-compat init"):
        load_settings({}, tmp_path / "nothing.toml", {})


def test_a_token_that_every_user_may_read_leads_to_a_warning(tmp_path: Path) -> None:
    """The warning names the file and the command that corrects its mode."""
    path = a_file(tmp_path, 'replicate_api_token = "r8_mine"')
    path.chmod(0o644)
    assert exposed_secrets(load_configuration({}, path, {})) == (
        f"{path} holds the token and every user may read it; chmod 640 {path}",
    )

    path.chmod(0o640)

    assert exposed_secrets(load_configuration({}, path, {})) == ()


OLD, NEW = "kinds_file", "task_types_file"


@pytest.mark.parametrize(
    ("flags", "text", "variable", "warning"),
    [
        ({OLD: Path("t.toml")}, "", "", "--kinds-file is now called --task-types-file;"),
        ({}, f'{OLD} = "t.toml"', "", f"{OLD} (FILE, line 1) is now called {NEW};"),
        ({}, "", "t.toml", f"PHOENIX_COMPAT_{OLD.upper()} is now called PHOENIX_COMPAT_TASK_TYPES"),
    ],
)
def test_an_old_name_works_with_a_warning(
    tmp_path: Path, flags: dict[str, Path], text: str, variable: str, warning: str
) -> None:
    """As a flag, in the file and as a variable; the warning names the new name in the same form."""
    path = a_file(tmp_path, text)
    environment = {f"PHOENIX_COMPAT_{OLD.upper()}": variable}

    found = load_configuration(flags, path, environment)

    assert found.settings.task_types_file is not None
    assert found.settings.task_types_file.name == "t.toml"
    assert found.origins[NEW] != "default"
    assert [one.replace(str(path), "FILE").startswith(warning) for one in found.warnings] == [True]


def test_an_old_name_follows_the_precedence(tmp_path: Path) -> None:
    """A variable with the old name wins over the old name in the file; there is one warning."""
    path = a_file(tmp_path, f'{OLD} = "file.toml"')

    found = load_configuration({}, path, {"PHOENIX_COMPAT_KINDS_FILE": "variable.toml"})

    assert found.settings.task_types_file == Path("variable.toml")
    assert len(found.warnings) == 1


def test_a_present_name_leads_to_no_warning(tmp_path: Path) -> None:
    """Warnings are about old names only."""
    path = a_file(tmp_path, f'{NEW} = "t.toml"')

    assert load_configuration({}, path, {}).warnings == ()


def test_old_and_new_name_together_are_an_error(tmp_path: Path) -> None:
    """Even from different sources, because one of the two values would be ignored."""
    lines = refusal(f'{NEW} = "new.toml"', tmp_path, PHOENIX_COMPAT_KINDS_FILE="old.toml")

    (line,) = lines
    assert line == (
        f"PHOENIX_COMPAT_KINDS_FILE: is the old name of {NEW}, and {NEW} "
        f"({tmp_path / 'config.toml'}, line 1) is given too; remove the old one"
    )


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", [[], {"a": 1}, 1.5, -1, True, "x\0y", "\u00e9", None])
def test_no_error_has_pydantics_words(name: str, value: object) -> None:
    """Whatever a setting is given, an error names the flag and uses this program's own words."""
    try:
        load_settings({name: value}, Path("/dev/null"), {})
    except ConfigError as error:
        for line in str(error).splitlines():
            assert line.startswith("--"), line
            assert not any(word in line for word in ("Input", "should be", "pydantic", "<class"))
