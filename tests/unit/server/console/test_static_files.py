"""What browsers load of the console: its size, the vendored files, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from phoenix_compat.server.console.routes.static_files import read_static_files
from phoenix_compat.server.console.script_bundle import BUNDLE, BundleError, bundle_of

STATIC: Final = Path(__file__).parents[4] / "phoenix_compat" / "server" / "console" / "static"
TEMPLATES: Final = STATIC.parent / "templates"
VENDOR: Final = STATIC / "vendor"
VENDORED: Final = json.loads((VENDOR / "vendored.json").read_text())
MAX_VENDORED_BYTES: Final = 60_000
MAX_OWN_BYTES: Final = 40_000
OWN: Final = sorted(
    path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents
)
ALONE: Final = {"home.js", "theme.js"}
"""Scripts that pages load beside the bundle."""
PAGES: Final = (STATIC / "index.html", TEMPLATES / "home.html")


def compressed_bytes(paths: Iterable[Path]) -> int:
    """How many bytes go over the network, each file on its own."""
    return sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in paths)


def test_the_sizes_stay_small() -> None:
    """The vendored files are at most 60 kB and our own at most 40 kB, compressed.

    Our own are what the pages load; the scripts are one of these files.
    """
    files = read_static_files()
    loaded = {name for page in PAGES for name in loaded_by(page) if not name.startswith("vendor/")}

    assert compressed_bytes(VENDOR / each["file"] for each in VENDORED) <= MAX_VENDORED_BYTES
    assert BUNDLE in loaded
    own_bytes = sum(len(files[name].compressed) for name in loaded) + compressed_bytes(PAGES)
    assert own_bytes <= MAX_OWN_BYTES


def loaded_by(page: Path) -> list[str]:
    """The files below `static/` that a page loads."""
    return re.findall(r'(?:src|href)="/console/static/([^"]+)"', page.read_text())


def test_every_script_is_in_the_bundle() -> None:
    """No screen is forgotten, and the vendored module is imported once."""
    text = read_static_files()[BUNDLE].content.decode()

    for path in OWN:
        name = str(path.relative_to(STATIC))
        if path.suffix == ".js" and name not in ALONE:
            assert text.count(f"// {name}\n") == 1, name
    assert re.findall(r"^import .* from (.*)$", text, re.MULTILINE) == ['"./vendor/htm-preact.js"']


@pytest.mark.parametrize(
    ("scripts", "mistake"),
    [
        ({"app.js": 'import {a} from "./b.js"\n'}, "app.js imports b.js, which does not exist"),
        ({"app.js": 'import {a} from "./app.js"\n'}, "app.js needs itself"),
        ({"app.js": "export default 1\n"}, "app.js: write this line in another form: export def"),
        ({"app.js": 'import {a as b} from "./vendor/c.js"\n'}, "the names of vendor/c.js as they"),
    ],
)
def test_other_forms_are_refused(scripts: dict[str, str], mistake: str) -> None:
    """The error names the script and what is wrong with it."""
    with pytest.raises(BundleError, match=re.escape(mistake)):
        bundle_of(scripts)


@pytest.mark.parametrize("vendored", VENDORED, ids=[each["file"] for each in VENDORED])
def test_a_vendored_file_is_what_the_list_says(vendored: dict[str, str]) -> None:
    """It has the listed content, and its licences stand beside it."""
    content = (VENDOR / vendored["file"]).read_bytes()

    assert hashlib.sha256(content).hexdigest() == vendored["sha256"]
    assert vendored["licences"]
    for licence in vendored["licences"]:
        assert (VENDOR / licence).stat().st_size > 500


def test_every_vendored_file_is_listed() -> None:
    """No file stands there without a version and a licence."""
    listed = {each["file"] for each in VENDORED} | {
        name for each in VENDORED for name in each["licences"]
    }

    assert {path.name for path in VENDOR.iterdir()} == listed | {"vendored.json"}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_pages_keep_to_the_policy(page: Path) -> None:
    """They have no inline scripts, styles or handlers, and load only files that exist."""
    text = page.read_text()

    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    for name in re.findall(r'(?:src|href)="/console/static/([^"]+)"', text):
        assert name == BUNDLE or (STATIC / name).is_file(), name


@pytest.mark.parametrize("path", OWN, ids=[str(path.relative_to(STATIC)) for path in OWN])
def test_our_own_files_name_no_other_server(path: Path) -> None:
    """Links that people click may lead elsewhere; nothing is loaded from there."""
    text = path.read_text()

    assert not re.search(r"""(?:import|from|fetch\(|url\(|src=)\s*["']?https?:""", text)
    assert "innerHTML" not in text
    for name in re.findall(r'from "(\.[^"]+)"', text):
        assert (path.parent / name).resolve().is_file(), name


def test_each_file_has_a_type_and_an_etag() -> None:
    """Browsers refuse scripts of another type; equal content has an equal ETag."""
    files = read_static_files()

    assert files["app.js"].content_type == "text/javascript"
    assert files["console.css"].content_type == "text/css"
    assert files["icon.svg"].content_type == "image/svg+xml"
    assert files["vendor/phoenix.LICENSE"].content_type == "text/plain"
    assert all(gzip.decompress(file.compressed) == file.content for file in files.values())
    assert len({file.etag for file in files.values()}) == len(files)
