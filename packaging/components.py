"""The packages in the bundle, of Python and of npm, and the texts of their licences."""

from __future__ import annotations

import json
import re
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

PROGRAM = "phoenix-compat"
LICENCES = "licences"
"""The folder in the bundle that has them, with a folder for each package."""

_PACKAGE = Path(__file__).parents[1] / "phoenix_compat"
_EXTRAS = frozenset({"server", "conformance", "crypto", "uvloop"})
"""The extras of the package that the bundle contains."""
_LICENCE = re.compile(r"(?i)[^/]*\.dist-info/(?:licenses/.*|(?:licen[cs]e|copying|notice)[^/]*)")


def requirements() -> Mapping[str, Sequence[str]]:
    """The program and all packages that it needs, each with those that it needs itself."""
    found = {PROGRAM: sorted(set(_required(PROGRAM, _EXTRAS)))}
    pending = list(found[PROGRAM])
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = sorted(set(_required(name, frozenset())))
            pending += found[name]
    return found


class Vendored(NamedTuple):
    """A package of npm, files of which are in the repository, for browsers.

    Attributes:
        licences: the texts of its licences.
    """

    package: str
    version: str
    licences: tuple[Path, ...]


def vendored() -> Sequence[Vendored]:
    """All of them, as the lists beside their files say."""
    found: dict[str, Vendored] = {}
    for table in sorted(_PACKAGE.rglob("vendored.json")):
        for entry in json.loads(table.read_text()):
            name, version = entry["package"], entry["version"]
            known = found.get(f"{name}@{version}", Vendored(name, version, ()))
            texts = (table.parent / licence for licence in entry["licences"])
            licences = tuple(dict.fromkeys((*known.licences, *texts)))
            found[f"{name}@{version}"] = known._replace(licences=licences)
    return sorted(found.values())


def licence_files() -> Iterator[tuple[Path, str]]:
    """Each file with a licence, and the folder in the bundle for it.

    Raises:
        LookupError: a package has none.
    """
    python = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    if not python.is_file():
        raise LookupError(f"there is no {python}, the licence of Python; build with another Python")
    yield python, f"{LICENCES}/python"
    for name in sorted(requirements()):
        if name == PROGRAM:
            continue
        files = [one for one in metadata.files(name) or () if _LICENCE.fullmatch(one.as_posix())]
        if not files:
            raise LookupError(f"the package {name} brings no licence; the bundle must have it")
        for file in files:
            _, _, inside = file.parent.as_posix().partition(".dist-info")
            folder = inside.strip("/").removeprefix("licenses").strip("/")
            yield Path(str(file.locate())), f"{LICENCES}/{name}/{folder}".rstrip("/")
    for one in vendored():
        for text in one.licences:
            yield text, f"{LICENCES}/npm-{one.package.replace('@', '').replace('/', '-')}"


def _required(name: str, extras: frozenset[str]) -> Iterator[str]:
    """The direct dependencies of a package on this platform, with those of its extras."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is not None and not any(
            marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            continue
        yield _canonical(requirement.name)
        if requirement.extras:
            yield from _required(requirement.name, frozenset(requirement.extras))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
