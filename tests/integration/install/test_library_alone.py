"""The library without any extra: every module can be imported, and the tutorial's chat runs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from phoenix_compat.extras import LATER, MODULES, OF_MANY_MACHINES
from tests.docs.test_tutorial import CHAT
from tests.integration.install.without import ALL, CHAT_CLIENT, are_installed, python_without
from tests.integration.operations.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_MODULE_OF = {
    "httpx-aiohttp": "httpx_aiohttp",
    "nats-py": "nats",
    "pillow": "PIL",
    "pyjwt": "jwt",
}

IMPORT_THE_LIBRARY = """
import pkgutil
import phoenix_compat
from importlib import import_module
NOT_OURS = ("cli", "conformance", "emulator", "operations", "server", "tasks", "__main__")
PREFIXES = tuple(f"phoenix_compat.{name}" for name in NOT_OURS)
walked = pkgutil.walk_packages(phoenix_compat.__path__, "phoenix_compat.", onerror=print)
NEEDS_CRYPTOGRAPHY = "phoenix_compat.protocol.token.cipher"
names = [m.name for m in walked if not (m.name + ".").startswith(tuple(p + "." for p in PREFIXES))]
for name in names:
    if name != NEEDS_CRYPTOGRAPHY:
        import_module(name)
for name in phoenix_compat.__all__:
    getattr(phoenix_compat, name)
print(len(names))
"""


async def test_the_library_needs_no_extra() -> None:
    """Every module and every public name can be imported where no extra is installed."""
    assert are_installed(ALL)  # else nothing is hidden, and nothing tested

    finished = await python_without(ALL, IMPORT_THE_LIBRARY)

    assert (finished.code, finished.err) == (0, "")
    assert int(finished.out.splitlines()[-1]) > 60


async def test_the_chat_runs_without_extras(tmp_path: Path) -> None:
    """The chat of docs/channels.md is served, joined, and heard."""
    (tmp_path / "chat.py").write_text(CHAT)
    run = f"""
import runpy
sys.argv[1:] = [{str(tmp_path / "chat.py")!r}]
runpy.run_path({str(CHAT_CLIENT)!r}, run_name="__main__")
"""

    finished = await python_without(ALL, run)

    assert (finished.code, finished.out) == (0, "ann: hi\n"), finished.err


async def test_tokens_are_signed_without_the_extra_and_encrypted_with_it() -> None:
    """Signing needs nothing; encrypting and decrypting say what to install, whatever they get."""
    finished = await python_without(
        ["cryptography"],
        """
from phoenix_compat import ConfigError, Tokens
from phoenix_compat.errors import MissingExtraError
tokens = Tokens("a secret of twenty bytes")
print(tokens.verify("salt", tokens.sign("salt", {"id": 7})))
for act in (lambda: tokens.encrypt("salt", 1), lambda: tokens.decrypt("salt", None)):
    try:
        act()
    except MissingExtraError as error:
        print(error.extra, isinstance(error, ConfigError), error)
""",
    )

    assert finished.err == ""
    words = (
        "crypto True cryptography, which encrypted tokens need, is not installed. "
        'Install it with: pip install "phoenix-compat[crypto]"'
    )
    assert finished.out.splitlines() == ["{'id': 7}", words, words]


async def test_cryptography_is_imported_when_it_is_needed() -> None:
    """Who only signs does not wait for it."""
    finished = await python_without(
        [],
        """
from phoenix_compat import Endpoint, Tokens
tokens = Tokens("a secret of twenty bytes")
tokens.verify("salt", tokens.sign("salt", 1))
before = "cryptography" in sys.modules
tokens.decrypt("salt", tokens.encrypt("salt", 1))
print(before, "cryptography" in sys.modules)
""",
    )

    assert (finished.out, finished.err) == ("False True\n", "")


async def test_importing_the_package_imports_little() -> None:
    """`import phoenix_compat` brings a few modules of its own and of the standard library."""
    finished = await python_without(
        [],
        """
before = set(sys.modules)
import phoenix_compat
brought = sorted(set(sys.modules) - before)
import json
print(json.dumps(brought))
""",
    )

    brought = json.loads(finished.out)
    others = {name.partition(".")[0] for name in brought} - {"phoenix_compat"}
    assert [name for name in brought if name.startswith("phoenix_compat")] == [
        "phoenix_compat",
        "phoenix_compat.version",
    ]
    assert others <= {"__future__", "importlib", "warnings"}


def test_the_extras_are_those_of_the_metadata() -> None:
    """What is looked for is what pip installs."""
    extras = PROJECT["optional-dependencies"]

    installed = {
        extra: {
            _MODULE_OF.get(name, name.replace("-", "_"))
            for name in (Requirement(text).name.lower() for text in requirements)
        }
        for extra, requirements in extras.items()
        if extra not in {"all", "heif", "otel"}  # the server asks for the last two itself
    }

    assert installed["server"] >= LATER
    installed["server"] -= LATER
    assert installed == {extra: set(modules) for extra, modules in MODULES.items()}
    [everything] = (Requirement(text) for text in extras["all"])
    assert everything.extras == set(MODULES) - OF_MANY_MACHINES


def test_the_library_depends_on_two_packages() -> None:
    """A third one is a decision."""
    names = {Requirement(text).name for text in PROJECT["dependencies"]}

    assert names == {"aiohttp", "msgspec"}
