"""Creates the software bill of materials (CycloneDX JSON) of the bundle, as installed here."""

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
"""The extras of the package that the bundle contains."""


def bill_of_materials(version: str, epoch_s: int) -> str:
    """The SBOM of the package, its dependencies, Python, and the libraries that Python bundles."""
    root = Component(name=_NAME, version=version, type=ComponentType.APPLICATION, bom_ref=_NAME)
    dependencies = {_canonical(_NAME): sorted(set(_dependencies(_NAME, _EXTRAS)))}
    pending = list(dependencies[_NAME])
    while pending:
        name = pending.pop()
        if name not in dependencies:
            dependencies[name] = sorted(set(_dependencies(name, frozenset())))
            pending += dependencies[name]
    parts = {name: _component(name) for name in sorted(dependencies) if name != _NAME}
    bom = Bom(
        components=[*parts.values(), *_python()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{_NAME}@{version}@{epoch_s}"),
    )
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    for name, needed in dependencies.items():
        bom.dependencies.add(
            Dependency(
                root.bom_ref if name == _NAME else parts[name].bom_ref,
                [Dependency(parts[one].bom_ref) for one in needed],
            )
        )
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _dependencies(name: str, extras: frozenset[str]) -> Iterator[str]:
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
            yield from _dependencies(requirement.name, frozenset(requirement.extras))


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
    """Python, and the libraries bundled with it that have a version."""
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
