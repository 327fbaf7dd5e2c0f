"""Joins the console's own scripts into one file, so that browsers load it at once and compressed.

This is not a build step: it happens when the server reads its files, and the scripts are written as
ordinary modules. They keep to these forms, each at the beginning of a line:

    import {name, other as local} from "./file.js"      also of vendor/
    import * as name from "./file.js"
    export const | function | async function | class NAME

Each module becomes a function that is called once, in the order in which they need each other.
Lines that begin with a comment are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Final

from phoenix_compat.errors import PhoenixCompatError

BUNDLE: Final = "console.js"
FIRST: Final = "app.js"

_VENDOR: Final = "vendor/"
_IMPORT: Final = re.compile(
    r'^import (?:\{(?P<names>[^}]*)\}|\* as (?P<whole>\w+)) from "(?P<path>[^"]+)"$', re.M
)
_EXPORT: Final = re.compile(
    r"^export (?=(?:const|function|async function|class) (?P<name>\w+))", re.M
)
_COMMENT: Final = re.compile(r"^//.*\n", re.M)
_OTHER: Final = re.compile(r"^(?:import|export)\b.*", re.M)


class BundleError(PhoenixCompatError):
    """A script does not keep to the forms of the module docstring."""


def bundle_of(scripts: Mapping[str, str]) -> str:
    """All scripts that the first one needs, as one module.

    Args:
        scripts: the text of each script by its path.

    Raises:
        BundleError: a script is written in another form; the text names it and the line.
    """
    bundle = _Bundle(scripts)
    bundle.add(FIRST, ())
    imports = [
        f'import {{{", ".join(sorted(names))}}} from "./{path}"'
        for path, names in bundle.vendored.items()
    ]
    return "\n".join([*imports, *bundle.parts, ""])


class _Bundle:
    def __init__(self, scripts: Mapping[str, str]) -> None:
        self.parts: list[str] = []
        self.vendored: dict[str, set[str]] = {}
        self._scripts = scripts
        self._added: set[str] = set()

    def add(self, path: str, needed_by: tuple[str, ...]) -> None:
        """Add a script after those that it needs, unless it was added."""
        if path in needed_by:
            raise BundleError(f"{path} needs itself, by {' and '.join(needed_by)}")
        if path in self._added:
            return
        if path not in self._scripts:
            raise BundleError(f"{needed_by[-1]} imports {path}, which does not exist")
        text = self._scripts[path]
        for found in _IMPORT.finditer(text):
            other = _path_of(path, found["path"])
            if not other.startswith(_VENDOR):
                self.add(other, (*needed_by, path))
        self._added.add(path)
        names = [found["name"] for found in _EXPORT.finditer(text)]
        body = _IMPORT.sub(lambda found: self._import(path, found), _COMMENT.sub("", text))
        body = _EXPORT.sub("", body)
        if (other_form := _OTHER.search(body)) is not None:
            raise BundleError(f"{path}: write this line in another form: {other_form[0][:80]}")
        returned = f"return {{{', '.join(names)}}}\n" if names else ""
        self.parts.append(f"// {path}\nconst {_name_of(path)} = (() => {{\n{body}{returned}}})()")

    def _import(self, path: str, found: re.Match[str]) -> str:
        other = _path_of(path, found["path"])
        names = [name.strip() for name in (found["names"] or "").split(",") if name.strip()]
        if other.startswith(_VENDOR):
            if found["whole"] or any(" as " in name for name in names):
                raise BundleError(f"{path}: import the names of {other} as they are")
            self.vendored.setdefault(other, set()).update(names)
            return ""
        if found["whole"]:
            return f"const {found['whole']} = {_name_of(other)}"
        local = ", ".join(name.replace(" as ", ": ") for name in names)
        return f"const {{{local}}} = {_name_of(other)}"


def _path_of(importer: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def _name_of(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))
