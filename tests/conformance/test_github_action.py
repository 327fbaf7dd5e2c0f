"""The action for GitHub: its metadata fit their schema, and its script tells the suite's result."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator, ValidationError

from tests.docs.pages import DOCS, blocks

ROOT = Path(__file__).parents[2]
ACTION_FILE = ROOT / "action.yml"
SCRIPT = ROOT / "packaging" / "github" / "run.sh"
ACTION: Any = yaml.safe_load(ACTION_FILE.read_text())
PAGE = (DOCS / "conformance-ci.md").read_text()
WORKFLOW, PIPELINE = blocks(PAGE, "yaml")


def check(schema: str, text: str) -> None:
    """Fail if the YAML does not fit one of the schemas that check-jsonschema brings along."""
    # YAML 1.1 reads the key `on` as true.
    value = yaml.safe_load(re.sub(r"^on:", '"on":', text, flags=re.MULTILINE))
    Draft7Validator(get_builtin_schema(f"vendor.{schema}")).validate(value)


def test_the_action_fits_its_schema() -> None:
    """GitHub's metadata of actions, as published at schemastore."""
    check("github-actions", ACTION_FILE.read_text())


@pytest.mark.parametrize(
    ("schema", "block"), [("github-workflows", WORKFLOW), ("gitlab-ci", PIPELINE)]
)
def test_the_recipes_fit_their_schemas(schema: str, block: str) -> None:
    """The workflow and the pipeline of the page are valid as they stand there."""
    check(schema, block)


def test_a_file_that_does_not_fit_is_found() -> None:
    """An action without steps is not one."""
    with pytest.raises(ValidationError):
        check("github-actions", "name: a\ndescription: b\nruns: {using: composite}")


def test_the_page_lists_the_inputs_and_outputs() -> None:
    """The table names every input, and the recipe uses none that does not exist."""
    listed = re.findall(r"^\| `([\w-]+)` \| ", PAGE, re.MULTILINE)
    used = yaml.safe_load(WORKFLOW)["jobs"]["phoenix"]["steps"][-1]["with"]

    assert listed == list(ACTION["inputs"])
    assert used.keys() <= ACTION["inputs"].keys()
    for name in ACTION["outputs"]:
        assert f"`{name}`" in PAGE


def test_inputs_reach_the_script_as_variables_only() -> None:
    """An input that stood in shell code could run commands of whoever wrote it."""
    (run,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "run")
    code = [step.get("run", "") for step in ACTION["runs"]["steps"]]
    read = set(re.findall(r"\$\{([A-Z_]+):-", SCRIPT.read_text())) - {"GITHUB_OUTPUT"}

    assert not any("${{" in text for text in code)
    assert read == run["env"].keys() - {"PATH_OF_ACTION"}


def run_script(folder: Path, code: int, **variables: str) -> tuple[int, str, dict[str, str]]:
    """Run the script with a suite that ends with this code; its exit code, output and outputs."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    for name in ("bash", "curl", "mkdir", "sleep"):
        found = shutil.which(name)
        assert found is not None, f"{name} is not installed"
        (programs / name).symlink_to(found)
    report = json.dumps({"counts": {"passed": 3, "failed": 1}})
    suite = programs / "phoenix-compat"
    suite.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"pathlib.Path('arguments').write_text(repr(sys.argv[1:]))\n"
        f"pathlib.Path(sys.argv[sys.argv.index('--json') + 1]).write_text({report!r})\n"
        f"sys.exit({code})\n"
    )
    suite.chmod(0o755)
    finished = subprocess.run(  # noqa: S603 - the script under test
        [str(programs / "bash"), str(SCRIPT)],
        cwd=folder,
        env={"PATH": str(programs), "GITHUB_OUTPUT": str(folder / "output"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    pairs = (line.partition("=") for line in (folder / "output").read_text().splitlines())
    return finished.returncode, finished.stdout, {name: value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("code", "variables", "ends_with", "result"),
    [
        (0, {}, 0, "passed"),
        (1, {}, 1, "failed"),
        (3, {}, 0, "not-judged"),
        (3, {"FAIL_IF_NOT_JUDGED": "true"}, 3, "not-judged"),
    ],
)
def test_the_result_of_the_suite_is_an_output(
    tmp_path: Path, code: int, variables: dict[str, str], ends_with: int, result: str
) -> None:
    """A case that could not be judged is a warning, unless it shall count as a failure."""
    ended, printed, outputs = run_script(
        tmp_path, code, URL="ws://127.0.0.1:1", WAIT_S="0", **variables
    )

    assert (ended, outputs["result"]) == (ends_with, result)
    assert (outputs["passed"], outputs["total"]) == ("3", "4")
    assert json.loads((tmp_path / outputs["json"]).read_text())
    assert ("could not be judged" in printed) == (code == 3)


def test_options_are_passed_as_words(tmp_path: Path) -> None:
    """Names with spaces stay whole, levels are several, and nothing is read as shell code."""
    run_script(
        tmp_path,
        0,
        URL="http://127.0.0.1:1/$(touch x)",
        WAIT_S="0",
        LEVELS="MUST SHOULD",
        EXPECTED_FAILURES="known failures.txt",
        HTML="page.html",
        REPORTS="my reports",
    )

    words = (tmp_path / "arguments").read_text()
    assert "'http://127.0.0.1:1/$(touch x)'" in words
    assert "'--level', 'MUST', '--level', 'SHOULD'" in words
    assert "'--expected-failures', 'known failures.txt', '--html', 'my reports/page.html'" in words
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("code", "variables", "problem"),
    [
        (2, {"URL": "http://127.0.0.1:1", "WAIT_S": "0"}, "the suite could not be played"),
        (0, {}, "the input url is missing"),
        (0, {"URL": "http://127.0.0.1:1", "WAIT_S": "1s"}, "the input wait-s is not a number"),
    ],
)
def test_an_error_is_an_annotation(
    tmp_path: Path, code: int, variables: dict[str, str], problem: str
) -> None:
    """What the user has to correct is said in the run's summary."""
    ended, printed, outputs = run_script(tmp_path, code, **variables)

    assert (ended, outputs["result"]) == (2, "error")
    assert printed.startswith("::error title=Phoenix conformance::")
    assert problem in printed
