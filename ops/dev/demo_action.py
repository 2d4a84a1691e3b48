"""The demo's data action: export a tool as an import file, and let the simulator run it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from db import catalog
from ops import deliveries
from ops.dev.environment import ACTION_SECRET
from ops.dev.stack import Stack
from ops.exports.action import import_file
from ops.exports.shape import Options

_TOOL = "search_inventory"
_INPUTS = {"sku": "AB-1001", "warehouse": "US_WEST"}
_OUTPUT = {
    "found": True,
    "total": 2,
    "message": "",
    "items": [
        {"sku": "AB-1001", "quantity": 166, "status": "IN_STOCK"},
        {"sku": "AB-1001", "quantity": 177, "status": "IN_STOCK"},
    ],
}


@dataclass(frozen=True)
class Ran:
    """The action's name and inputs, and how it ended in the simulated Genesys."""

    name: str
    ended: dict[str, Any]

    @property
    def differs(self) -> bool:
        """Whether the output is not the expected one."""
        return self.ended.get("output") != _OUTPUT


def run(stack: Stack, tools_dir: Path) -> Ran:
    """Export the tool for the stack's endpoint, and let the simulated Genesys run the action."""
    tool = catalog.load(tools_dir).tools[_TOOL]
    action = import_file(tool, Options(stack.actions_url))
    order = {"action": action, "inputs": _INPUTS, "credentials": {"apiKey": ACTION_SECRET}}
    answer = deliveries.post(f"{stack.simulator_url}/_sim/actions", order)
    return Ran(action["name"], answer.body if isinstance(answer.body, dict) else {})


def show(ran: Ran, console: Console) -> None:
    """Print what went in and what came out."""
    table = Table(title="one data action, over TLS", title_justify="left", expand=True)
    table.add_column("action", ratio=3, overflow="fold")
    table.add_column("inputs", ratio=4, overflow="fold")
    table.add_column("output", ratio=6, overflow="fold")
    table.add_column("answered", justify="right", no_wrap=True)
    inputs, output = (json.dumps(v) for v in (_INPUTS, ran.ended.get("output", ran.ended)))
    took = f"{ran.ended.get('took_ms', 0)} ms"
    table.add_row(Text(ran.name, style="bold"), Text(inputs), Text(output), took)
    console.print(table)
