"""Runs `pytest --phoenix-url=…` as the author of a server does."""

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
    """`room:*`, with a wrong reply to the join."""

    def join(self, topic: str, payload: Any, socket: Socket) -> Result:
        """Reply with another topic."""
        return ok({"joined": "elsewhere"})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load only our plugin, so that runs start faster."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_phoenix_compat")


async def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in another process, with warnings as errors, while this one serves."""
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config")
    return await asyncio.to_thread(pytester.runpytest_subprocess, *arguments)


@pytest.mark.usefixtures("alone")
async def test_the_cases_are_tests(pytester: pytest.Pytester, reference_url: str) -> None:
    """The selected cases run with the project's own tests, one for each case and transport."""
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
async def test_a_failure_has_the_explanation_of_the_runner(
    pytester: pytest.Pytester, serve: Serve
) -> None:
    """A failure shows wanted and got, and a command for this case, without a traceback."""
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
    """A listed case is an xfail; `-k` and `-m` select cases like other tests."""
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
async def test_what_could_not_be_judged_is_skipped(
    pytester: pytest.Pytester, reference_url: str
) -> None:
    """The reason is in the summary of skips, and `--phoenix-timing` reaches the suite."""
    pytester.makeconftest(
        """
        from phoenix_compat.conformance import pytest_plugin
        from phoenix_compat.conformance.suite.runner import CaseResult

        async def run_cases(cases, url, *, timing, is_known):
            assert timing.name == "strict"
            return [CaseResult(case, (), "e", unjudged="machine too busy") for case in cases]

        pytest_plugin.run_cases = run_cases
        """
    )

    result = await run(
        pytester,
        *(f"--phoenix-url={reference_url}", f"--phoenix-only={JOIN}", "-rs"),
        *("--phoenix-transport=websocket", "--phoenix-timing=strict"),
    )

    result.assert_outcomes(skipped=1)
    assert f"{JOIN} websocket could not be judged: machine too busy" in result.stdout.str()


@pytest.mark.usefixtures("alone")
async def test_an_unreachable_server_is_reported_in_one_line(
    pytester: pytest.Pytester, unused_tcp_port: int
) -> None:
    """Every case fails, and the output is only the reason."""
    url = f"http://127.0.0.1:{unused_tcp_port}"

    result = await run(pytester, f"--phoenix-url={url}", f"--phoenix-only={JOIN}", "-q")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines([f"no server answers at {url}: *"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param("--phoenix-only=no/such/case", "no case matches", id="no-case"),
        pytest.param("--phoenix-profile=0.1", "no profile '0.1'", id="no-profile"),
    ],
)
@pytest.mark.usefixtures("alone")
async def test_an_invalid_option(pytester: pytest.Pytester, option: str, message: str) -> None:
    """The run ends before any test, with pytest's exit code for usage errors."""
    result = await run(pytester, "--phoenix-url=http://127.0.0.1:9", option)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_the_plugin_imports_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    """Without --phoenix-url, the plugin does not import the package."""
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
