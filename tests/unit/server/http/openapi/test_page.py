"""The files of the page at /docs: their sizes, the vendored ones, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from typing import Final

import pytest

from phoenix_compat.server.http.openapi import page

STATIC: Final = page.STATIC
VENDOR: Final = STATIC / "vendor"
VENDORED: Final = json.loads((VENDOR / "vendored.json").read_text())
OWN: Final = sorted(path for path in STATIC.iterdir() if path.is_file())
MAX_BYTES: Final = 500_000


def test_the_sizes_stay_small() -> None:
    """Everything that a browser loads, compressed."""
    sizes = [len(gzip.compress(path.read_bytes(), mtime=0)) for path in OWN]

    assert sum(sizes, sum((VENDOR / each["file"]).stat().st_size for each in VENDORED)) < MAX_BYTES


@pytest.mark.parametrize("vendored", VENDORED, ids=[each["file"] for each in VENDORED])
def test_a_vendored_file_is_what_the_list_says(vendored: dict[str, str]) -> None:
    """It has the listed content, compressed, and its licences stand beside it."""
    content = gzip.decompress((VENDOR / vendored["file"]).read_bytes())

    assert hashlib.sha256(content).hexdigest() == vendored["sha256"]
    assert all((VENDOR / name).stat().st_size > 50 for name in vendored["licences"])


def test_every_file_is_listed_and_served() -> None:
    """No vendored file stands there without a licence, and none of ours without an address."""
    listed = {name for each in VENDORED for name in (each["file"], *each["licences"])}
    served = {file.stored_as for file in page.FILES.values()}

    assert {path.name for path in VENDOR.iterdir()} == listed | {"vendored.json"}
    assert served == {path.name for path in OWN} | {f"vendor/{each['file']}" for each in VENDORED}


def test_the_page_keeps_to_the_policy() -> None:
    """It has no inline scripts, styles or handlers, and what it loads is there."""
    text = (STATIC / "docs.html").read_text()

    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert set(re.findall(r'(?:src|href)="/docs/([^"]+)"', text)) == page.FILES.keys() - {
        "docs.html"
    }
    assert not re.search(r"https?://", text + (STATIC / "docs.js").read_text())
