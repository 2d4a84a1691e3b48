"""`python -m bench [MEASURE]…`: benchmark this project beside its peers, on one machine."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from bench import machine, report
from bench.measures import Bench, find_node
from bench.sides import ROOT
from bench.waits import TOOL
from ops.dev import demo_data
from ops.dev.embedded import start_postgres

RESULTS = ROOT / "bench/results/latest.json"
PAGE, DETAILS = ROOT / "docs/performance.md", ROOT / "bench/README.md"
MEASURES = (
    "sides", "slow", "silence", "fairness", "recovery", "scale", "accept", "overload",
)  # fmt: skip
TURNS = 5


@click.command()
@click.argument("measures", nargs=-1, type=click.Choice([*MEASURES, "memory"]))
@click.option("--turns", default=TURNS, show_default=True, help="How often each side has its turn.")
@click.option("--runs", default=100_000, show_default=True, help="How many, for memory.")
@click.option(
    "--children-after", type=int, default=None, show_default="as configured",
    help="Messages after which memory has a worker's children replaced.",
)  # fmt: skip
def main(*, measures: tuple[str, ...], turns: int, runs: int, children_after: int | None) -> None:
    """
    Measure, and print the table.

    All measures but memory, which is the default, also replace bench/results/latest.json and the
    figures in docs/performance.md and bench/README.md. Exits with 1 when a target is missed.
    """
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s  {text}", err=True)

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with start_postgres(folder / "postgres") as postgres:
            demo_data.load(postgres.url)
            bench = Bench(
                folder, _tools(folder / "tools"), postgres, node=find_node(), turns=turns, say=say
            )
            for measure in measures or MEASURES:
                is_long = measure == "memory"
                given = (runs, children_after) if is_long else ()
                found[measure] = getattr(bench, measure)(*given)
                say(f"{measure}: {json.dumps(found[measure])}")
    found = {
        "command": " ".join(["python -m bench", *measures]) if measures else "make bench",
        "turns": turns,
        "took_s": round(time.monotonic() - began),
        "machine": machine.describe(),
        "targets": [target._asdict() for target in report.targets(found)],
        **found,
    }
    click.echo("\n\n".join(filter(None, (report.table(found), report.details(found)))))
    if not measures:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        report.write(found, PAGE, DETAILS)
    missed = [target["measure"] for target in found["targets"] if target["is_met"] is False]
    if missed:
        raise click.ClickException(f"missed targets: {'; '.join(missed)}")


def _tools(folder: Path) -> Path:
    """The shipped tools, and one that sleeps for as long as its argument names, 5 s at most."""
    shutil.copytree(ROOT / "tools", folder)
    shutil.copytree(ROOT / "ops/dev/demo/tools" / TOOL, folder / TOOL)
    path = folder / TOOL / "tool.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "timeout_ms": 5_000}))
    return folder


if __name__ == "__main__":
    main()
