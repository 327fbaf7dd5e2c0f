"""`pytest --phoenix-url=…`, as an author of a server runs it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phoenix_compat import Channel, Result, Socket, ok
from tests.conftest import Serve
from tests.serving import accepting, socket_app

pytest_plugins = ["pytester"]

JOIN = "join/ok/v2"
OWN_TEST = "def test_mine(): pass"


class ElsewhereChannel(Channel):
    """`room:*`, with a wrong answer to the join."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Name another topic."""
        return ok({"joined": "elsewhere"})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the installed plugins load ours only: runs start faster."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_phoenix_compat")


async def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in a process of its own, while this one serves; every warning is an error."""
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config")
    return await asyncio.to_thread(pytester.runpytest_subprocess, *arguments)


@pytest.mark.usefixtures("alone")
async def test_the_cases_are_tests(pytester: pytest.Pytester, reference_url: str) -> None:
    """The chosen cases run beside the project's own tests, one test a case and transport."""
    pytester.makepyfile(OWN_TEST)

    result = await run(pytester, "-v", f"--phoenix-url={reference_url}", f"--phoenix-only={JOIN}")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_mine PASSED*",
            f"phoenix::{JOIN}[[]websocket[]] PASSED*",
            f"phoenix::{JOIN}[[]longpoll[]] PASSED*",
        ]
    )


@pytest.mark.usefixtures("alone")
async def test_a_failure_says_what_the_runner_says(pytester: pytest.Pytester, serve: Serve) -> None:
    """Wanted and got, and a command that plays the case alone; no traceback."""
    url = await serve(socket_app(accepting({"room:*": ElsewhereChannel})))

    result = await run(
        pytester,
        f"--phoenix-url={url}",
        f"--phoenix-only={JOIN}",
        "--phoenix-transport=websocket",
    )

    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert '"joined":"room:lobby' in output
    assert '"joined":"elsewhere"' in output
    assert f"pytest -m phoenix --phoenix-url={url} --phoenix-only={JOIN}" in output
    assert "Traceback" not in output
    assert "pytest_plugin.py" not in output


@pytest.mark.usefixtures("alone")
async def test_a_failure_may_be_expected(pytester: pytest.Pytester, serve: Serve) -> None:
    """A case of the file is an xfail; `-k` and `-m` choose among the cases as among other tests."""
    pytester.makepyfile(OWN_TEST)
    pytester.path.joinpath("known.txt").write_text(f"{JOIN}\n")
    url = await serve(socket_app(accepting({"room:*": ElsewhereChannel})))

    result = await run(
        pytester,
        *(f"--phoenix-url={url}", "--phoenix-transport=websocket", "--phoenix-level=must"),
        *("--phoenix-expected-failures=known.txt", "-m", "phoenix", "-k", JOIN),
    )

    assert result.parseoutcomes()["xfailed"] == 1
    assert "passed" not in result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.usefixtures("alone")
async def test_a_server_that_is_not_there_is_told_in_a_line(
    pytester: pytest.Pytester, unused_tcp_port: int
) -> None:
    """Every case fails, with the reason and nothing else."""
    url = f"http://127.0.0.1:{unused_tcp_port}"

    result = await run(pytester, f"--phoenix-url={url}", f"--phoenix-only={JOIN}", "-q")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"no server answers at {url}: *"])


@pytest.mark.parametrize(
    ("option", "told"),
    [
        pytest.param("--phoenix-only=no/such/case", "no case is named so", id="no-case"),
        pytest.param("--phoenix-profile=0.1", "no profile '0.1'", id="no-profile"),
    ],
)
@pytest.mark.usefixtures("alone")
async def test_a_wrong_option_is_told(pytester: pytest.Pytester, option: str, told: str) -> None:
    """The run ends before a test, with pytest's code for a wrong command line."""
    result = await run(pytester, "--phoenix-url=http://127.0.0.1:9", option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in result.stderr.str()


def test_unused_the_plugin_imports_nothing(pytester: pytest.Pytester) -> None:
    """Who has the package installed and does not name a server pays for no import."""
    pytester.makepyfile(
        """
        import sys

        def test_imports():
            heavy = {"phoenix_compat", "msgspec", "pydantic"} & set(sys.modules)
            assert "pytest_phoenix_compat" in sys.modules
            assert heavy == set()
        """
    )

    result = pytester.runpytest_subprocess("-o", "asyncio_default_fixture_loop_scope=function")

    result.assert_outcomes(passed=1)
