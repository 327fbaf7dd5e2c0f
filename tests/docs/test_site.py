"""The site contains every page, and the reference every public name; `make docs` checks links."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import phoenix_compat
from phoenix_compat import PhoenixCompatError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
DOCUMENTED = set(
    re.findall(r"^\.\. (?:auto\w+|py:data):: phoenix_compat\.([\w.]+)", REFERENCE, re.MULTILINE)
)
PAGES = sorted(
    path.resolve()
    for path in [
        *DOCS.rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ]
)


def toctree(page: Path) -> set[Path]:
    """Return the pages below a page, recursively."""
    found = set()
    for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                name = re.sub(r".* <(.+)>", r"\1", line)  # "Title <page>", or the page alone
                below = (page.parent / f"{name}.md").resolve()
                found |= {below, *(toctree(below) if below.exists() else ())}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_page_is_reachable(page: Path) -> None:
    """Each document is in the table of contents of the site."""
    index = DOCS / "index.md"

    assert page in {index, *toctree(index)}


@pytest.mark.parametrize("module", ["", "presence", "testing", "client"])
def test_every_public_name_is_in_the_reference(module: str) -> None:
    """Each name in `__all__` is documented under docs/api; a new name needs a line there."""
    names = import_module(f"phoenix_compat.{module}".rstrip(".")).__all__
    below = f"{module}." if module else ""
    missing = [
        f"phoenix_compat.{below}{name}"
        for name in names
        if below + name not in DOCUMENTED and name not in DOCUMENTED
    ]

    assert missing == []


def test_the_public_errors_are_in_the_reference() -> None:
    """Each error in a `Raises:` section of a public name is documented."""
    raised = {
        error
        for module in ("channel", "endpoint", "pubsub", "socket", "token", "presence.presence")
        for error in re.findall(
            r"^ +(\w+Error): ",
            Path(str(import_module(f"phoenix_compat.{module}").__file__)).read_text("utf-8"),
            re.MULTILINE,
        )
    }
    last_words = {name.rpartition(".")[2] for name in DOCUMENTED}

    assert {"EncodeError", "MissingTokenError", "AlreadyTrackedError"} <= raised
    assert raised - last_words == set()


def test_the_fixtures_are_in_the_reference() -> None:
    """Each pytest fixture of the plugin is documented."""
    plugin = (ROOT / "pytest_phoenix_compat.py").read_text(encoding="utf-8")
    fixtures = re.findall(r"@pytest\.fixture.*\ndef (\w+)", plugin)

    assert fixtures
    assert [name for name in fixtures if f"`{name}`" not in REFERENCE] == []


def test_every_documented_name_exists() -> None:
    """Each name in the reference exists, and each error is a PhoenixCompatError."""
    for name in DOCUMENTED:
        found: object = phoenix_compat
        for number, part in enumerate(parts := name.split("."), 1):
            if not hasattr(found, part):
                found = import_module("phoenix_compat." + ".".join(parts[:number]))
            else:
                found = getattr(found, part)
        assert not isinstance(found, type) or found.__doc__, name
        if name.endswith("Error"):
            assert isinstance(found, type)
            assert issubclass(found, PhoenixCompatError)


def test_the_documentation_is_built_by_the_checks() -> None:
    """`make check` builds the site; `make run` does not install the packages for that."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checks = re.search(r"^check:(.*?)##", makefile, re.MULTILINE)
    run = re.search(r"^\$\(VENV\)/\.run:.*\n(?:\t.*\n)+", makefile, re.MULTILINE)

    assert checks is not None
    assert "docs" in checks[1].split()
    assert run is not None
    assert "group" not in run[0]
    assert re.search(r"sphinx-build .*-W", makefile)
