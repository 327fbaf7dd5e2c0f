"""Runs tests against a mutant in a process of its own: a fork that imports only this package anew.

It is a fork, because pytest, aiohttp and the other packages take longer to import than most mutants
live. The mutant exists in its memory only: no file is changed. Tests that start another interpreter
see the code as it is.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NoReturn

import hypothesis
import pytest

_OWN: Final = frozenset({"phoenix_compat", "tests", "pytest_phoenix_compat"})
"""Imported anew in each process."""
_MAX_MEMORY_BYTES: Final = 4 * 1024**3
_MAX_OUTPUT_BYTES: Final = 4_000
_QUIET: Final = (
    "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--no-summary", "--tb=no",
    "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """When a process is ended.

    Attributes:
        cpu_s: seconds of the processor, for what computes for ever, however busy the machine is.
        wall_s: seconds in all, for what waits for ever; those in which others have the processor
            do not count.
    """

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Finished:
    """How the tests ended.

    Attributes:
        ended: `passed`, `failed`, `timeout`, or `empty` if no test was found.
        failed: the ids of the tests that failed, in order; `import` if they could not be collected,
            `crash` if the interpreter broke down.
        output: the last that was printed.
    """

    ended: str
    failed: tuple[str, ...] = ()
    output: str = ""

    @property
    def is_passed(self) -> bool:
        """Whether all tests passed."""
        return self.ended == "passed"


@dataclass(frozen=True)
class ChangedModule:
    """A module that is imported with other code than its file has."""

    name: str
    code: str


@dataclass(frozen=True)
class _Ended:
    """What a fork returned, None if it died, and whether it was ended by a limit."""

    answer: Any
    is_timeout: bool
    output: str


def preload(root: Path, paths: Iterable[str]) -> None:
    """Import what the tests import, except this package: once, for all processes to come."""
    sys.dont_write_bytecode = False  # or each of them compiles all code again
    ended = _in_fork(lambda: _collected_modules(root, paths), Limits(cpu_s=120.0, wall_s=600.0))
    for name in ended.answer or ():
        with suppress(Exception):  # a part that cannot be imported alone is imported later
            importlib.import_module(name)
    _forget_own_modules()


def run_tests(
    root: Path,
    paths: Sequence[str],
    limits: Limits,
    *,
    changed: ChangedModule | None = None,
    tests: Sequence[str] | None = None,
    stop_at_first: bool = False,
    prepare: Callable[[], list[object]] | None = None,
) -> Finished:
    """Run the tests of some files, and wait for their end.

    Args:
        changed: the mutant.
        tests: run only these, in this order.
        prepare: makes further plugins of pytest, before anything is imported.
    """

    def in_process() -> dict[str, Any]:
        _forget_own_modules()
        plugins = prepare() if prepare else []
        if changed is not None:
            sys.meta_path.insert(0, _Finder(root, changed))
        verdict = _Verdict(tests)
        os.chdir(root)
        options = [*_QUIET, *(["-x"] if stop_at_first else [])]
        code: int = pytest.ExitCode.TESTS_FAILED
        try:
            code = pytest.main([*options, *paths], plugins=[verdict, *plugins])
        except Exception:  # at the end, because of what a test that failed has left open
            if not verdict.failed:
                raise
        return {"code": int(code), "failed": verdict.failed}

    ended = _in_fork(in_process, limits)
    if ended.is_timeout:
        return Finished("timeout")
    answer = ended.answer or {"code": None, "failed": ["crash"]}
    failed = tuple(answer["failed"])
    match answer["code"]:
        case pytest.ExitCode.OK:
            return Finished("passed")
        case pytest.ExitCode.NO_TESTS_COLLECTED:
            return Finished("empty")
        case _:
            return Finished("failed", failed or ("import",), ended.output)


class _Verdict:
    """A plugin of pytest: selects the tests, and notes which fail."""

    def __init__(self, tests: Sequence[str] | None) -> None:
        self.failed: list[str] = []
        self._ranks = None if tests is None else {test: rank for rank, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """Find no smaller example, and leave none to the next process."""
        hypothesis.settings.register_profile(
            "mutation",
            parent=hypothesis.settings.default,
            database=None,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        )
        hypothesis.settings.load_profile("mutation")

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Keep the chosen tests, in the given order, after other plugins have sorted them."""
        yield
        ranks = self._ranks
        if ranks is not None:
            items[:] = sorted(
                (item for item in items if item.nodeid in ranks),
                key=lambda item: ranks[item.nodeid],
            )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A mutant that breaks the import of a test is noticed."""
        if report.failed:
            self.failed.append("import")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test fails in its arrangement, its call or its end."""
        if report.failed and report.nodeid not in self.failed:
            self.failed.append(report.nodeid)


class _Finder:
    """Finds the changed module before its file is looked for."""

    def __init__(self, root: Path, changed: ChangedModule) -> None:
        self._root = root
        self._changed = changed

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        del path, target
        if name != self._changed.name:
            return None
        file = self._root.joinpath(*name.split("."))
        folder = [str(file)] if file.is_dir() else None
        file = file / "__init__.py" if folder else file.with_suffix(".py")
        loader = _Loader(name, str(file), self._changed.code)
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=folder)


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, code: str) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._code, self.get_filename(fullname), "exec", dont_inherit=True)


def _collected_modules(root: Path, paths: Iterable[str]) -> list[str]:
    os.chdir(root)
    pytest.main([*_QUIET, "--collect-only", *paths])
    # In the order in which they were imported: _asyncio before asyncio breaks the latter.
    return [name for name in sys.modules if name.partition(".")[0] not in _OWN]


def _forget_own_modules() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in _OWN and not name.startswith("tests.mutation"):
            del sys.modules[name]


def _in_fork(work: Callable[[], Any], limits: Limits) -> _Ended:
    """Do something in a fork, and end it with all that it has started."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _be_the_fork(work, limits, writing, output.fileno())
        os.close(writing)
        try:
            answer, is_late = _read_all(reading, pid, limits.wall_s)
        finally:
            os.close(reading)
            for kill in (os.killpg, os.kill):  # it may not have its own group yet
                with suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        output.seek(max(output.seek(0, os.SEEK_END) - _MAX_OUTPUT_BYTES, 0))
        printed = output.read().decode(errors="replace")
    is_timeout = is_late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    return _Ended(json.loads(answer) if answer and not is_late else None, is_timeout, printed)


def _be_the_fork(work: Callable[[], Any], limits: Limits, writing: int, printing: int) -> NoReturn:
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(printing, 1)
        os.dup2(printing, 2)
        cpu_s = int(limits.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
        answer = json.dumps(work()).encode()
        sys.stdout.flush()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
    except BaseException:  # noqa: BLE001 - the parent reads it
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _read_all(descriptor: int, pid: int, limit_s: float) -> tuple[bytes, bool]:
    """All that a process writes until its end, and whether it takes too long."""
    received, began_s = b"", time.monotonic()
    while (left_s := limit_s + _queued_s(pid) - (time.monotonic() - began_s)) > 0:
        if not select.select([descriptor], [], [], left_s)[0]:
            continue
        data = os.read(descriptor, 65536)
        if not data:
            return received, False
        received += data
    return b"", True


def _queued_s(pid: int) -> float:
    """For how many seconds a process has waited for a processor; see proc(5), schedstat."""
    try:
        _, queued_ns, *_ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    except (OSError, ValueError):
        return 0.0
    return queued_ns / 1e9
