"""Runs the suite as pytest tests: `pytest --phoenix-url=…` collects one item for each case.

`pytest_phoenix_compat` imports this module if the option is given. Nothing else in the package
imports it, because it needs pytest.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.conformance.suite.cases import TRANSPORTS, Case
from phoenix_compat.conformance.suite.catalog import load_suite, select
from phoenix_compat.conformance.suite.connections import exchange
from phoenix_compat.conformance.suite.expected import ExpectedFailures
from phoenix_compat.conformance.suite.judging.timing import PATIENT, TIMINGS, Timing
from phoenix_compat.conformance.suite.runner import CaseResult, run_cases
from phoenix_compat.errors import ConfigError

_PROBE_TIMEOUT_S = 30.0


class CaseFailedError(Exception):
    """A case failed; the message is the explanation of the runner."""


class CaseRunner:
    """Plays the cases of a run, all at once when the first result is requested."""

    def __init__(
        self, url: str, timing: Timing = PATIENT, expected: ExpectedFailures | None = None
    ) -> None:
        self.url = url
        self._timing = timing
        self._expected = expected or ExpectedFailures()
        self._results: dict[str, CaseResult] = {}
        self._problem: str | None = None

    def result(self, case: Case, all_cases: Sequence[Case]) -> CaseResult:
        """The result of a case.

        Args:
            all_cases: the cases of this run; the first call plays all of them.

        Raises:
            CaseFailedError: there is no server to test at the URL.
        """
        if not self._results and self._problem is None:
            asyncio.run(self._play(all_cases))
        if self._problem is not None:
            raise CaseFailedError(self._problem)
        if case.key not in self._results:
            asyncio.run(self._play([case]))
        return self._results[case.key]

    async def _play(self, cases: Sequence[Case]) -> None:
        self._problem = await self._check_server()
        if self._problem is None:
            results = await run_cases(
                cases, self.url, timing=self._timing, is_known=self._expected.names
            )
            self._results |= {result.case.key: result for result in results}

    async def _check_server(self) -> str | None:
        target = "/socket/websocket?vsn=2.0.0"
        try:
            response = await exchange(self.url, "GET", target, timeout_s=_PROBE_TIMEOUT_S)
        except (OSError, EOFError, ValueError) as error:
            return f"no server answers at {self.url}: {str(error) or type(error).__name__}"
        if response.status == 404:
            return f"{self.url} does not host the reference channel set: no /socket/websocket"
        return None


class PhoenixCase(pytest.Item):
    """One case over one transport."""

    def __init__(self, *, case: Case, runner: CaseRunner, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self._runner = runner
        self.add_marker("phoenix")

    def runtest(self) -> None:
        """Fail if the case failed, skip if it could not be judged; the first item plays all."""
        result = self._runner.result(self.case, self._played_together())
        self.user_properties.append(("took_s", round(result.took_s, 3)))
        if result.unjudged is not None:
            pytest.skip(f"{self.case.key} could not be judged: {result.unjudged}")
        if result.failed:
            reasons = "\n".join(result.reasons)
            raise CaseFailedError(f"{reasons}\n\n{result.explain()}\n\n{self._reproduce()}")

    def _played_together(self) -> list[Case]:
        """All selected cases; with xdist only this one, because each worker would play them all."""
        if hasattr(self.config, "workerinput"):
            return [self.case]
        return [item.case for item in self.session.items if isinstance(item, PhoenixCase)]

    def _reproduce(self) -> str:
        words = ["pytest", "-m", "phoenix", f"--phoenix-url={self._runner.url}"]
        words += [f"--phoenix-only={self.case.id}", f"--phoenix-transport={self.case.transport}"]
        words.append(f"--phoenix-profile={self.config.getoption('phoenix_profile')}")
        return shlex.join(words)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The explanation of the runner; a traceback only for other errors."""
        if isinstance(excinfo.value, CaseFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The title above a failure."""
        return self.path, None, f"phoenix {self.case.key}: {self.case.title}"


class _Suite(pytest.Collector):
    """The parent node of the cases."""

    def collect(self) -> list[PhoenixCase]:
        """Collect nothing: the plugin adds the cases to the collected items."""
        return []


class PhoenixPlugin:
    """Adds the cases to the items of a run."""

    def __init__(
        self, url: str, cases: Sequence[Case], expected: ExpectedFailures, timing: Timing
    ) -> None:
        self._runner = CaseRunner(url, timing, expected)
        self._cases = cases
        self._expected = expected

    @classmethod
    def of(cls, config: pytest.Config) -> PhoenixPlugin:
        """Create the plugin from the options.

        Raises:
            pytest.UsageError: an option is not valid.
        """
        option = config.getoption
        transport = option("phoenix_transport")
        transports = TRANSPORTS if transport == "both" else [transport]
        file = option("phoenix_expected_failures")
        try:
            suite = load_suite(option("phoenix_profile"), transports)
            expected = ExpectedFailures()
            if file is not None:
                expected = ExpectedFailures.read(Path(file), load_suite(option("phoenix_profile")))
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
        cases = select(
            suite,
            only=option("phoenix_only"),
            without=option("phoenix_except"),
            levels=option("phoenix_level"),
        )
        if not cases:
            raise pytest.UsageError("no case matches; see phoenix-compat conformance run --list")
        timing = TIMINGS[option("phoenix_timing")]
        return cls(option("phoenix_url").rstrip("/"), cases, expected, timing)

    @pytest.hookimpl(tryfirst=True)  # before -k and -m select items
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Add an item for each case."""
        suite = _Suite.from_parent(session, name="phoenix", nodeid="phoenix")
        for case in self._cases:
            name = f"{case.id}[{case.transport}]"
            item = PhoenixCase.from_parent(suite, name=name, case=case, runner=self._runner)
            if self._expected.names(case):
                item.add_marker(pytest.mark.xfail(reason="expected to fail", strict=True))
            items.append(item)
