"""Creates the software bill of materials (CycloneDX JSON) of the bundle, as installed here."""

from __future__ import annotations

import platform
import sqlite3
import ssl
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from importlib.metadata import PackageMetadata

from components import PROGRAM, requirements, vendored
from cryptography.hazmat.backends.openssl import backend
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_LICENCE_CLASSIFIER = "License :: OSI Approved :: "


def bill_of_materials(version: str, epoch_s: int) -> str:
    """The SBOM of the program, its dependencies, Python, and the libraries bundled with them."""
    root = Component(name=PROGRAM, version=version, type=ComponentType.APPLICATION, bom_ref=PROGRAM)
    dependencies = requirements()
    parts = {name: _component(name) for name in sorted(dependencies) if name != PROGRAM}
    bom = Bom(
        components=[*parts.values(), *_python(), *_for_browsers()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{PROGRAM}@{version}@{epoch_s}"),
    )
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    for name, needed in dependencies.items():
        bom.dependencies.add(
            Dependency(
                root.bom_ref if name == PROGRAM else parts[name].bom_ref,
                [Dependency(parts[one].bom_ref) for one in needed],
            )
        )
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(name: str) -> Component:
    about = metadata.metadata(name)
    licenses = [DisjunctiveLicense(name=one) for one in _licences(about)]
    version = metadata.version(name)
    return Component(
        name=name,
        version=version,
        licenses=licenses,
        purl=PackageURL("pypi", None, name, version),
        bom_ref=f"{name}@{version}",
    )


def _licences(about: PackageMetadata) -> list[str]:
    """The names of a package's licences. The field License may have the whole text instead."""
    for field in ("License-Expression", "License"):
        text = about[field].strip() if field in about else ""
        if text and "\n" not in text:
            return [text]
    classifiers: list[str] = about.get_all("Classifier") or []
    return [
        one.removeprefix(_LICENCE_CLASSIFIER)
        for one in classifiers
        if one.startswith(_LICENCE_CLASSIFIER)
    ]


def _python() -> Iterator[Component]:
    """Python, and the libraries in the bundle that are no Python packages and have a version."""
    versions = {
        "cpython": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "sqlite": sqlite3.sqlite_version,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
    for name, version in versions.items():
        yield _library(name, version, f"{name}@{version}")
    # The package cryptography brings another OpenSSL.
    _, openssl, *_ = backend.openssl_version_text().split()
    yield _library("openssl", openssl, f"cryptography/openssl@{openssl}")


def _for_browsers() -> Iterator[Component]:
    """The packages of npm for the pages."""
    for one in vendored():
        scope, _, name = one.package.rpartition("/")
        purl = PackageURL("npm", scope or None, name, one.version)
        yield Component(name=one.package, version=one.version, purl=purl, bom_ref=str(purl))


def _library(name: str, version: str, bom_ref: str) -> Component:
    purl = PackageURL("generic", None, name, version)
    return Component(name=name, version=version, purl=purl, bom_ref=bom_ref)
