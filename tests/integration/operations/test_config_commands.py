"""`config show` and `check-config`, run as processes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.operations.commands import run

COMMAND = ("-m", "phoenix_compat")


def config_file(path: Path, text: str) -> str:
    """Write a configuration file; returns its path as an argument."""
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


async def test_config_show_prints_where_each_value_comes_from(tmp_path: Path) -> None:
    """Value and origin of every setting, with the token masked, as lines and as JSON."""
    config = config_file(tmp_path / "c.toml", 'port = 4100\nreplicate_api_token = "r8_mine"')

    lines = await run(*COMMAND, "config", "show", "--origin", "--config", config)
    table = await run(*COMMAND, "config", "show", "--json", PHOENIX_COMPAT_CONFIG=config)

    assert (lines.code, table.code) == (0, 0), lines.err + table.err
    rows = {line.split(" = ")[0]: line for line in lines.out.splitlines()}
    assert rows["port"].split() == ["port", "=", "4100", "file", config]
    assert json.loads(table.out)["port"] == {"value": "4100", "origin": f"file {config}"}
    assert "r8_mine" not in lines.out + table.out


async def test_check_config_is_an_exit_code(tmp_path: Path) -> None:
    """0 for valid settings; 2 with a line for each error, even in files that settings name."""
    task_types = config_file(tmp_path / "task_types.toml", "[poster]\ntask_type = 1")
    valid = config_file(tmp_path / "valid.toml", "port = 4100")
    wrong = config_file(
        tmp_path / "wrong.toml", 'task_types_file = "task_types.toml"\nfile_hosts = ["a b"]'
    )

    good = await run(*COMMAND, "check-config", "--config", valid)
    bad = await run(*COMMAND, "check-config", "--config", wrong)

    assert (good.code, good.err) == (0, "")
    assert bad.code == 2
    assert f"{task_types}: [poster] task_type" in bad.err
    assert "'a b' is not a host" in bad.err
    assert "Traceback" not in bad.err
