"""`python -m bench`: this project beside its peers, in one run on one machine; ratios first."""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from bench import machine, report
from bench.figures import ratio_ranges, ratios
from bench.measures import Bench
from bench.sides import ROOT
from ops import demo_data
from ops.embedded import start_postgres

RESULTS = ROOT / "bench" / "results" / "latest.json"
PARTS = ("sides", "slow", "scale", "accept")
PEERS = ("plain_chord", "bare_dramatiq", "ledger_dramatiq")
TURNS = 3


@click.command()
@click.option("--turns", default=TURNS, show_default=True, help="How often each side has its turn.")
@click.option("--only", type=click.Choice([*PARTS, "cpu"]), multiple=True, help="Just these parts.")
@click.option("--peers", default=",".join(PEERS), show_default=True, help="Whom to compare with.")
@click.option("--long", is_flag=True, help="Instead of all else: memory over many runs.")
@click.option("--runs", default=100_000, show_default=True, help="How many, with --long.")
def main(*, turns: int, only: tuple[str, ...], peers: str, long: bool, runs: int) -> None:
    """
    Measure, print the table, and write it down.

    A full run replaces bench/results/latest.json and what docs/ says of it; part of one is printed.
    """
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.0f} s  {text}", err=True)

    with tempfile.TemporaryDirectory() as folder:
        # the demo's slow tool beside those that ship: a call of 50 ms sleeps in Postgres
        tools = Path(folder) / "tools"
        shutil.copytree(ROOT / "tools", tools)
        shutil.copytree(ROOT / "ops" / "demo" / "tools" / "slow_report", tools / "slow_report")
        with start_postgres(Path(folder) / "postgres") as postgres:
            demo_data.load(postgres.url)
            bench = Bench(
                Path(folder),
                tools,
                postgres,
                peers=[name for name in peers.split(",") if name],
                node=shutil.which("node"),
                turns=turns,
                say=say,
            )
            if long:
                _print_memory(bench.long(runs))
                return
            found = measure(bench, only or PARTS)
    found = {
        "command": "make bench" if turns == TURNS else f"python -m bench --turns {turns}",
        "turns": turns,
        "took_s": round(time.monotonic() - began),
        "machine": machine.describe(),
        "ratios": ratios(found),
        "ratio_ranges": ratio_ranges(found),
        **found,
    }
    click.echo(report.table(found))
    if not only and set(PEERS) <= set(peers.split(",")):
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        report.write(found, ROOT / "docs")
        say(f"written: {RESULTS.relative_to(ROOT)}, docs/performance.md, docs/performance.svg")


def measure(bench: Bench, parts: tuple[str, ...]) -> dict[str, Any]:
    """The figures of each part, by its name; "cpu" is the part "sides" without its latency."""
    found: dict[str, Any] = {}
    if "cpu" in parts:
        found["sides"] = bench.sides(with_latency=False)
    for part in PARTS:
        if part in parts:
            found[part] = getattr(bench, part)()
    return found


def _print_memory(by_runs: dict[str, float]) -> None:
    (few, first), *_, (many, last) = by_runs.items()
    click.echo(f"{few} runs: {first} MB, {many} runs: {last} MB ({last / first - 1:+.1%})")


if __name__ == "__main__":
    main()
