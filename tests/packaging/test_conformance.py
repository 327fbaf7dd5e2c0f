"""The conformance commands of the one file, in a minimal Debian without Python."""

from __future__ import annotations

import json

import pytest

from tests.packaging.conftest import ONE_FILE
from tests.packaging.sandbox import Sandbox

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]

CONFORMANCE = (f"/opt/{ONE_FILE.name}", "conformance")


def test_the_commands_have_their_data(sandbox: Sandbox) -> None:
    """The suite has its vectors and the page its style; random conversations and load run, too."""
    url = sandbox.start(*CONFORMANCE, "serve", "--port", "0").url()
    files = ("--json", "/srv/report.json", "--html", "/srv/report.html")

    printed = sandbox.check_output(*CONFORMANCE, "run", url, "--only", "join/ok", *files)
    sandbox.check_output(*CONFORMANCE, "fuzz", url, "--conversations", "20")
    load = json.loads(
        sandbox.run(*CONFORMANCE, "load", url, "--rate", "20", "--for", "1s", "--json", "-").stdout
    )

    report = json.loads((sandbox.root / "srv/report.json").read_text())
    assert report["counts"]["passed"] == len(report["cases"]) > 0
    assert f"{len(report['cases'])} of {len(report['cases'])} passed" in printed
    assert "<style>" in (sandbox.root / "srv/report.html").read_text()
    assert load["joined"] == 100
    assert load["missing"] == load["out_of_order"] == load["duplicated"] == 0
