"""Break what several nodes stand on, and count what was lost.

    python -m tests.faults.nodes --fault kill --size 200 --tasks 1000 --seed 1

It prints the violations and a JSON line for each fault and seed. The exit code is 1 when there is a
violation.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.faults.nodes.faults import FAULTS
from tests.faults.nodes.outcome import table
from tests.faults.nodes.plan import PLANS
from tests.faults.nodes.run import run


@click.command()
@click.option("--seed", "seeds", multiple=True, type=int, default=(1, 2, 3), show_default=True)
@click.option("--fault", "names", multiple=True, type=click.Choice([*FAULTS]), help="[all]")
@click.option("--size", type=int, help="How often the fault is done.  [the plan's]")
@click.option("--tasks", type=int, help="How many tasks are posted.  [the plan's]")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the data and the logs of the nodes.  [a temporary one]",
)
def main(
    *,
    seeds: tuple[int, ...],
    names: tuple[str, ...],
    size: int | None,
    tasks: int | None,
    keep: Path | None,
) -> None:
    """Break what several nodes stand on, and count what was lost."""
    is_ok = True
    for seed in seeds:
        for name in names or tuple(FAULTS):
            plan = PLANS[name].changed(size=size, tasks=tasks)
            began_s = time.monotonic()
            with tempfile.TemporaryDirectory() as temporary:
                folder = (keep or Path(temporary)) / f"{name}-{seed}"
                folder.mkdir(parents=True)
                outcome = asyncio.run(run(plan, seed, folder))
            click.echo(table(outcome))
            summary = outcome.summary(time.monotonic() - began_s, fault=name, seed=seed)
            click.echo(json.dumps(summary))
            is_ok &= outcome.is_ok
    sys.exit(0 if is_ok else 1)


if __name__ == "__main__":
    main()
