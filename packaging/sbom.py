"""The bill of materials, CycloneDX as JSON: what the bundle is made of, as installed here."""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

_NAME = "phoenix-compat"
_EXTRAS = frozenset({"server", "conformance", "crypto", "uvloop"})
"""Of the package, those that are in the bundle."""


def bill_of_materials(version: str, epoch_s: int) -> str:
    """The package, all that it needs, and the parts of Python that are files of their own."""
    root = Component(name=_NAME, version=version, type=ComponentType.APPLICATION, bom_ref=_NAME)
    needs = {_canonical(_NAME): sorted(set(_needs(_NAME, _EXTRAS)))}
    waiting = list(needs[_NAME])
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = sorted(set(_needs(name, frozenset())))
            waiting += needs[name]
    parts = {name: _component(name) for name in sorted(needs) if name != _NAME}
    bom = Bom(
        components=[*parts.values(), *_python()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{_NAME}@{version}@{epoch_s}"),
    )
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    for name, needed in needs.items():
        bom.dependencies.add(
            Dependency(
                root.bom_ref if name == _NAME else parts[name].bom_ref,
                [Dependency(parts[one].bom_ref) for one in needed],
            )
        )
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _needs(name: str, extras: frozenset[str]) -> Iterator[str]:
    """What a package needs here; extras that others ask of it are followed too."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is not None and not any(
            marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            continue
        yield _canonical(requirement.name)
        if requirement.extras:
            yield from _needs(requirement.name, frozenset(requirement.extras))


def _component(name: str) -> Component:
    about = metadata.metadata(name)
    named = next((about[key] for key in ("License-Expression", "License") if key in about), "")
    licenses = [DisjunctiveLicense(name=named.splitlines()[0])] if named.strip() else []
    version = metadata.version(name)
    return Component(
        name=name,
        version=version,
        licenses=licenses,
        purl=PackageURL("pypi", None, name, version),
        bom_ref=f"{name}@{version}",
    )


def _python() -> Iterator[Component]:
    """Python itself, and the libraries of its own that are known by a version."""
    versions = {
        "cpython": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "sqlite": sqlite3.sqlite_version,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    for name, version in versions.items():
        purl = PackageURL("generic", None, name, version)
        yield Component(name=name, version=version, purl=purl, bom_ref=f"{name}@{version}")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
