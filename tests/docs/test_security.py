"""docs/security.md: its commands work, its settings are valid, and its statements are true."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from phoenix_compat.server.auth.principal import Scope
from phoenix_compat.server.auth.setup import check_auth
from phoenix_compat.server.engine import task_types_of
from phoenix_compat.server.process.settings import Settings
from phoenix_compat.tasks.model.task_types import determine_task_params
from tests.docs.pages import ROOT, anchors, blocks, links, page
from tests.docs.test_first_pages import Shell, make_executable, require, write_program
from tests.integration.process.proxies import free_port

TEXT = page("security.md")


@pytest.mark.timeout(180)  # a dozen commands, a process each
async def test_a_safe_server_in_five_minutes(tmp_path: Path) -> None:
    """The commands lead from nothing to a server that lets in only those with a key, and that
    refuses the key once it is revoked."""
    require("curl")
    configure, create, serve, ask, doctor, revoke = blocks(TEXT, "sh")
    write_program(tmp_path / "phoenix-compat")
    make_executable(tmp_path / "phoenix-compat")
    port = free_port()
    shell = Shell(tmp_path, port, PHOENIX_COMPAT_PORT=str(port))

    await shell.run(configure)
    await shell.run(create)
    async with shell.running(serve):
        asked = await shell.run(ask)
        examined = await shell.run(doctor, code=1)  # there is no proxy
        await shell.run(revoke)
        asked_again = await shell.run(ask)

    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode)
        for name in ("phone.key", "phoenix-compat.toml", "data")
    }
    assert modes == {"phone.key": 0o600, "phoenix-compat.toml": 0o600, "data": 0o700}
    assert re.findall(r"^\d{3}$", asked, re.MULTILINE) == ["401", "200"]
    assert re.findall(r"^\d{3}$", asked_again, re.MULTILINE) == ["401", "401"]
    assert re.findall(r"^(?:warn|fail)  ([^:]+):", examined, re.MULTILINE) == ["public URL"]


@pytest.mark.parametrize("text", blocks(TEXT, "toml"))
def test_the_settings_are_valid(text: str) -> None:
    """Each example is accepted as it is, and the server could start with it."""
    lines = tomllib.loads(text)

    settings = Settings(**lines)

    check_auth(settings)
    assert settings.model_fields_set == set(lines)


@pytest.mark.parametrize("service", ["Supabase", "Auth0", "Firebase"])
def test_the_settings_of_a_sign_in_service_agree_with_its_claims(service: str) -> None:
    """The table and the example name the same issuer and algorithm; the audience is always set, for
    such services sign for all their customers."""
    table = TEXT.partition("| | Supabase | Auth0 | Firebase |")[2].partition("\n\n")[0]
    column = 1 + ["Supabase", "Auth0", "Firebase"].index(service)
    cells = {
        row.split("|")[1].strip(): re.split(r"(?<!\\)\|", row)[column + 1]
        for row in table.splitlines()[2:]
    }
    section = TEXT.partition(f"### {service}\n")[2].partition("###")[0]

    lines: dict[str, Any] = tomllib.loads(blocks(section, "toml")[0])

    assert f"`{lines['jwt_issuer']}`" in cells["`iss`"]
    assert lines["jwt_algorithms"][0] in cells["algorithm"]
    assert lines["jwt_audience"]
    assert lines["jwt_jwks_url"].startswith("https://")


def test_the_types_without_a_price_are_named() -> None:
    """The page says of exactly these types that a limit in US dollars refuses them."""
    sentence = re.findall(
        r"\*\*This includes the types (.+?) as they are delivered", TEXT, re.DOTALL
    )

    types = task_types_of(Settings())
    file = "https://example.com/monk"
    inputs = {"prompt": "monk", "text": "monk", "image": file, "audio": file}
    unpriced = {
        name
        for name in types
        if determine_task_params({"type": name, **inputs}, types).estimated_cost_usd is None
    }

    assert set(re.findall(r"`(\w+)`", sentence[0])) == unpriced


def test_the_scopes_without_a_route_are_named() -> None:
    """Each scope that the page calls unused is named nowhere in the server's routes."""
    unused = [
        name
        for sentence in re.findall(r"No route\s+uses ([^.]+) yet", TEXT)
        for name in re.findall(r"`(\w+)`", sentence)
    ]
    sources = "".join(path.read_text() for path in (ROOT / "phoenix_compat/server").rglob("*.py"))

    assert [name for name in unused if f"Scope.{Scope(name).name}" in sources] == []


def test_the_placeholder_for_reports_is_the_one_of_the_package() -> None:
    """As long as the package has no real address, the page says so, and afterwards not."""
    control = (ROOT / "packaging" / "debian" / "control").read_text()
    placeholder = "phoenix-compat@localhost"

    assert (placeholder in control) == (placeholder in TEXT)


@pytest.mark.parametrize(("file", "anchor"), links(TEXT))
def test_links_lead_to_headings(file: str, anchor: str) -> None:
    """Each link within the documentation names a file and a heading that exist."""
    target = ROOT / "docs" / file if file else ROOT / "docs" / "security.md"

    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text(encoding="utf-8"))
