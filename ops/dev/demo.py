"""`toolworker demo`: five deliveries and a data action through the whole service."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops import deliveries
from ops.dev import demo_action
from ops.dev.children import StartError
from ops.dev.stack import Stack

_RUNS = Path(__file__).parent / "demo" / "runs.json"
_DEMO_TOOLS = Path(__file__).parent / "demo" / "tools"
_TOOLS = Path(__file__).resolve().parents[2] / "tools"
_ANSWER_S = 20.0


@dataclass(frozen=True)
class Run:
    """One delivery and the outputs it must end in, by call id; a repeat sends run 1 again."""

    title: str
    delivery: dict[str, Any]
    outputs: dict[str, Any]
    is_repeat: bool = False


@dataclass
class Seen:
    """Outcome of a run: times in ms from sending, `outputs` in the order of the submission."""

    run: Run
    accepted: deliveries.Answer
    sent_at: float
    answered_ms: int | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def load_runs() -> list[Run]:
    """The five runs of `demo/runs.json`; the fifth is the first once more."""
    runs = [Run(**entry) for entry in json.loads(_RUNS.read_text(encoding="utf-8"))]
    return [*runs, Run("the first delivery again", runs[0].delivery, runs[0].outputs, True)]


def tools_folder(folder: Path) -> Path:
    """
    Copy the shipped tools and those of the demo alone into *folder*, emptied before.

    Raises:
        StartError: The service was installed without its tools.
    """
    if not _TOOLS.is_dir():
        raise StartError(f"{_TOOLS} is not there; the demo runs from a checkout of toolworker")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_TOOLS, folder)
    shutil.copytree(_DEMO_TOOLS, folder, dirs_exist_ok=True)
    return folder


def show(folder: Path, console: Console) -> bool:
    """
    Run the demo with its data and logs in *folder*, and print it.

    Returns:
        Whether every output was the expected one.

    Raises:
        StartError: A part of the stack did not come up.
    """
    began = time.monotonic()

    def report(name: str, where: str, took_s: float) -> None:
        console.print(Text(f"  {name:<13} {where:<60} {took_s:4.1f} s"))

    console.print(Text(f"starting, with logs in {folder / 'logs'}"))
    tools_dir = tools_folder(folder / "tools")
    with Stack(folder, tools_dir=tools_dir, examine=True, has_actions=True, report=report) as stack:
        console.print(Text("sending five signed deliveries"))
        seen = []
        for result in deliver(stack, load_runs()):
            seen.append(result)
            how = "recognised" if result.run.is_repeat else f"answered in {result.answered_ms} ms"
            console.print(Text(f"  {len(seen)} {result.run.title}: {how}"))
        action = demo_action.run(stack, tools_dir)
    console.print(_table(seen))
    for number, result in enumerate(seen, 1):
        for difference in result.differences:
            text = Text(f"run {number} ({result.run.title}): {difference}")
            console.print(text, soft_wrap=True)
    demo_action.show(action, console)
    wrong = sum(bool(result.differences) for result in seen)
    verdict = f"{wrong} of {len(seen)} runs differ" if wrong else "all five as expected"
    verdict += ", the data action differs" if action.differs else ", the data action too"
    console.print(Text(f"{verdict}, {time.monotonic() - began:.0f} s in all"))
    console.print(Text("to look at runs in a browser: make up, and the address that it prints"))
    return not wrong and not action.differs


def deliver(stack: Stack, runs: list[Run]) -> Iterator[Seen]:
    """Send each run to the stack's receiver and yield what came of it, in order."""
    *quick, slow, repeat = runs
    for run in quick:
        yield _answered(stack, _send(stack, run))
    slow_sent, repeat_sent = _send(stack, slow), _send(stack, repeat)
    yield _answered(stack, slow_sent)
    # The slow run held a slot for half a second after the repeat was sent, and the other slot was
    # free: a second submission of run 1 would have arrived by now.
    yield _answered(stack, repeat_sent)


def compare(seen: Seen, attempts: list[dict[str, Any]]) -> list[str]:
    """What differs from the expected, a line each; *attempts* as the simulator lists them."""
    found = []
    body = seen.accepted.body if isinstance(seen.accepted.body, dict) else {}
    if seen.accepted.status != 202 or body.get("duplicate", False) is not seen.run.is_repeat:
        found.append(f"the receiver answered {seen.accepted.status} {_text(seen.accepted.body)}")
    if len(attempts) != 1:
        found.append(f"{len(attempts)} submissions arrived, not 1")
    if list(seen.outputs) != list(seen.run.outputs):
        found.append(f"outputs for {list(seen.outputs)}, not {list(seen.run.outputs)}")
    for call_id, expected in seen.run.outputs.items():
        output = seen.outputs.get(call_id)
        if _text(output) != _text(expected):
            found.append(f"{call_id}\n  expected {_text(expected)}\n  but got  {_text(output)}")
    return found


def _send(stack: Stack, run: Run) -> Seen:
    body, sent_at = json.dumps(run.delivery).encode(), time.time()
    url = f"{stack.webhook_url}/webhook/tool-calls"
    return Seen(run, deliveries.send(url, body, secret=stack.secret.encode()), sent_at)


def _answered(stack: Stack, seen: Seen) -> Seen:
    """Wait for the submission of a run, and fill in what it held."""
    deadline = time.monotonic() + _ANSWER_S
    attempts = _attempts(stack, seen.run)
    while not attempts and seen.accepted.status == 202 and time.monotonic() < deadline:
        time.sleep(0.02)
        attempts = _attempts(stack, seen.run)
    if attempts:
        if not seen.run.is_repeat:
            seen.answered_ms = round((attempts[0]["at"] - seen.sent_at) * 1000)
        outputs = attempts[-1]["body"]["tool_calls"]
        seen.outputs = {o["tool_call_id"]: json.loads(o["output"]) for o in outputs}
    seen.differences = compare(seen, attempts)
    return seen


def _attempts(stack: Stack, run: Run) -> list[dict[str, Any]]:
    listed = deliveries.get(f"{stack.simulator_url}/_sim/submissions").body
    records = listed["submissions"] if isinstance(listed, dict) else listed
    return [record for record in records if record["run_id"] == run.delivery["run_id"]]


def _table(seen: list[Seen]) -> Table:
    table = Table(title="five runs", title_justify="left", expand=True)
    table.add_column("run", width=3)
    table.add_column("went in", ratio=4, overflow="fold")
    table.add_column("came out", ratio=5, overflow="fold")
    table.add_column("accepted", justify="right", no_wrap=True)
    table.add_column("answered", justify="right", no_wrap=True)
    for number, result in enumerate(seen, 1):
        answered = "once only" if result.answered_ms is None else f"{result.answered_ms} ms"
        times = [f"{result.accepted.took_ms} ms", answered]
        verdict = "DIFFERS, see below" if result.differences else "as expected"
        title = Text(result.run.title, style="bold")
        table.add_row(str(number), title, Text(verdict, style="bold"), *times)
        for call in result.run.delivery["tool_calls"] if not result.run.is_repeat else ():
            query = f"{call['function']['name']} {call['function']['arguments']}"
            table.add_row("", Text(query), Text(_shown(result.outputs.get(call["id"]))))
        if result.run.is_repeat:
            table.add_row("", Text("the same bytes as run 1"), Text(_shown(result.accepted.body)))
        table.add_section()
    return table


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    """JSON with sorted keys, in which 1, true and 1.0 differ."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
