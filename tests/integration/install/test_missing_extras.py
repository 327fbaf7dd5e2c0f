"""Who asks for a part that is not installed is told how to install it, and nothing is imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phoenix_compat.__main__ import COMMANDS
from phoenix_compat.cli import cli
from phoenix_compat.extras import MODULES
from phoenix_compat.version import __version__
from tests.integration.install.without import ALL, command_without, python_without

SERVER = (
    "Error: the task server is not installed. "
    'Install it with: pip install "phoenix-compat[server]"\n'
)
CONFORMANCE = (
    "Error: the conformance suite is not installed. "
    'Install it with: pip install "phoenix-compat[conformance]"\n'
)
BEYOND_CONFORMANCE = sorted(ALL - set(MODULES["conformance"]))


def test_each_command_belongs_to_an_extra() -> None:
    """A new command is listed with the extra that it needs."""
    listed = [name for names in COMMANDS.values() for name in names]

    assert sorted(listed) == sorted(cli.commands)


@pytest.mark.parametrize("command", [*COMMANDS["server"], "--port"])
async def test_a_command_of_the_task_server(command: str) -> None:
    """Each of them, and an option alone, says how to install it and ends with 2."""
    arguments = ("--port", "0") if command == "--port" else (command, "--help")

    finished = await command_without(ALL, *arguments)

    assert (finished.code, finished.out, finished.err) == (2, "", SERVER)


@pytest.mark.parametrize("module", MODULES["server"])
async def test_one_missing_package_is_enough(module: str) -> None:
    """The task server is installed whole or not at all."""
    finished = await command_without([module], "serve", "--help")

    assert (finished.code, finished.err) == (2, SERVER)


@pytest.mark.parametrize("command", ["run", "serve", "report", "trace", ""])
async def test_a_command_of_the_conformance_suite(command: str) -> None:
    """The same with its own extra."""
    finished = await command_without(ALL, *filter(None, ("conformance", command)))

    assert (finished.code, finished.out, finished.err) == (2, "", CONFORMANCE)


async def test_the_version_needs_no_extra() -> None:
    """And reads as it does with all of them."""
    alone, whole = [await command_without(hidden, "--version") for hidden in (ALL, frozenset())]

    assert alone == whole
    assert (alone.code, alone.out) == (0, f"phoenix-compat, version {__version__}\n")


@pytest.mark.parametrize("options", [(), ("--help",), ("-h",)])
async def test_the_help_needs_no_extra(options: tuple[str, ...]) -> None:
    """It lists every command, and how to install the extras that are missing."""
    finished = await command_without(ALL, *options)

    assert (finished.code, finished.err) == (0, "")
    assert {*re.findall(r"[\w-]+", finished.out)} >= set(cli.commands)
    for extra in MODULES:
        assert f'pip install "phoenix-compat[{extra}]"' in finished.out


async def test_an_unknown_command_is_named() -> None:
    """To install an extra would not help."""
    finished = await command_without(ALL, "sevre")

    assert finished.code == 2
    assert finished.err == "Error: No such command 'sevre'. To list them: phoenix-compat --help\n"


async def test_nothing_is_imported_before() -> None:
    """Neither click nor aiohttp, when all of them are there and one package is missing."""
    finished = await python_without(
        ["pydantic"],
        """
import atexit
atexit.register(lambda: print(sorted({"aiohttp", "click", "msgspec", "rich"} & set(sys.modules))))
sys.argv[1:] = ["serve"]
from phoenix_compat.__main__ import main
main()
""",
    )

    assert (finished.out, finished.err) == ("[]\n", SERVER)


async def test_the_conformance_suite_needs_its_extra_alone(tmp_path: Path) -> None:
    """Its commands run where the task server's packages are missing."""
    recording = tmp_path / "trace.jsonl"
    recording.write_text('{"t": 0, "open": "ws://localhost/socket/websocket?vsn=2.0.0"}\n')

    finished = await python_without(
        BEYOND_CONFORMANCE,
        f"""
import pkgutil
from importlib import import_module
import phoenix_compat.conformance
suite = phoenix_compat.conformance
for found in pkgutil.walk_packages(suite.__path__, suite.__name__ + "."):
    import_module(found.name)
from phoenix_compat.__main__ import main
for arguments in (["run", "--list"], ["trace", {str(recording)!r}], ["serve", "--port", "x"]):
    sys.argv[1:] = ["conformance", *arguments]
    try:
        main()
    except SystemExit as ended:
        print(arguments[0], "ends with", ended.code)
""",
    )

    assert "run ends with 0" in finished.out
    assert "trace ends with 0" in finished.out
    assert "serve ends with 2" in finished.out
    assert "Traceback" not in finished.err


async def pytest_without(
    modules: list[str] | frozenset[str], folder: Path, *options: str
) -> tuple[int, str]:
    """The exit code of pytest with our plugin loaded, and what it prints."""
    arguments = ["-q", "-p", "pytest_phoenix_compat", "--rootdir", str(folder), str(folder)]
    finished = await python_without(
        modules, f"import pytest\nsys.exit(pytest.main({[*arguments, *options]!r}))"
    )
    return finished.code, finished.out + finished.err


async def test_the_pytest_plugin_loads_without_extras(tmp_path: Path) -> None:
    """Whoever has the package installed and does not use the plugin notices nothing."""
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")

    code, output = await pytest_without(ALL, tmp_path)

    assert code == 0
    assert "1 passed" in output


async def test_the_pytest_plugin_says_what_to_install(tmp_path: Path) -> None:
    """Without a traceback: for --phoenix-url, and for a test that asks for a fixture."""
    (tmp_path / "test_own.py").write_text(
        "def test_own(): pass\n"
        "def test_lane(fault_lane): pass\n"
        "def test_server(fault_server): pass\n"
    )
    words = CONFORMANCE.removeprefix("Error: ").strip()

    usage, by_option = await pytest_without(ALL, tmp_path, "--phoenix-url=http://127.0.0.1:9")
    failed, by_fixture = await pytest_without(ALL, tmp_path)

    assert f"ERROR: {words}" in by_option
    assert (usage, failed) == (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.TESTS_FAILED)
    assert by_fixture.count(words) >= 2
    assert "1 passed, 2 errors" in by_fixture
    assert "Traceback" not in by_option + by_fixture


async def test_the_fixtures_need_the_conformance_extra_alone(tmp_path: Path) -> None:
    """The task server's packages may be missing."""
    (tmp_path / "test_own.py").write_text("def test_lane(fault_lane): assert fault_lane.url\n")

    code, output = await pytest_without(BEYOND_CONFORMANCE, tmp_path)

    assert code == 0, output
