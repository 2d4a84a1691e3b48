"""`toolworker up`: run the whole service on this machine until Ctrl-C."""

import json
import shlex
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from db import catalog
from db.catalog.bind import document_of
from ops import deliveries
from ops.dev import demo
from ops.dev.environment import DASHBOARD_PASSWORDS
from ops.dev.server import free_port
from ops.dev.stack import Stack, is_up
from runtime import settings

_FLOWER_S = 90.0
_SETTINGS = (
    "REDIS_URL",
    "LEDGER_URL",
    "GENESYS_BASE_URL",
    "GENESYS_LOGIN_URL",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
    "WEBHOOK_SECRETS",
)


@dataclass(frozen=True)
class Own:
    """
    The folder of tools, and the user's own databases that the environment names.

    `databases` has a setting such as `DATABASE_URL` for each URL.
    """

    tools_dir: Path
    databases: Mapping[str, str]

    @property
    def is_shipped(self) -> bool:
        """Whether the tools are those in the checkout, which commands use without TOOLS_DIR."""
        return self.tools_dir == settings.BUILT_IN_TOOLS

    def env(self) -> dict[str, str]:
        """What to export beside the stack's own settings."""
        folder = {} if self.is_shipped else {"TOOLS_DIR": str(self.tools_dir)}
        return {**folder, **self.databases}

    def delivery(self) -> dict[str, Any]:
        """
        The demo's, of shipped tools; else a call of the first tool that has a good example.

        Raises:
            CatalogError: The tools have mistakes.
        """
        tools = catalog.load(self.tools_dir).tools
        shown = demo.load_runs()[0].delivery
        names = {call["function"]["name"] for call in shown["tool_calls"]}
        if self.is_shipped and names <= tools.keys():
            return shown
        calls = [
            (tool, example["arguments"], example.get("bound", {}))
            for tool in tools.values()
            for example in tool.examples
            if "output" in example
        ] or [(tool, {}, {}) for tool in tools.values()]
        tool, arguments, bound = calls[0]
        function = {"name": tool.name, "arguments": json.dumps(arguments)}
        call = {"id": "call-1", "type": "function", "function": function}
        return {"run_id": "own-run-1", "tool_calls": [call], **document_of(tool.bind, bound)}


_NOTHING = Own(settings.BUILT_IN_TOOLS, {})


def read_own() -> Own:
    """
    What TOOLS_DIR, DATABASE_URL and DATABASE_URL_… name.

    Raises:
        SettingsError: A setting is wrong.
    """
    values = settings.load()
    urls = values.database_urls()
    named = {settings.database_setting(name): url for name, url in urls.items()}
    return Own(values.tools_dir.resolve(), named)  # its parts run in another folder


def serve(folder: Path, console: Console) -> bool:
    """
    Run the stack with the tools and the user's own databases, if any; print its use, and wait.

    Raises:
        CatalogError: The tools have mistakes.

        KeyboardInterrupt: Always, in the end; by then every part has stopped.

        StartError: A part of the stack did not come up.
    """

    def report(name: str, where: str, took_s: float) -> None:
        console.print(Text(f"  {name:<13} {where:<60} {took_s:4.1f} s"), soft_wrap=True)

    own = read_own()
    own.delivery()  # mistakes of the tools, before anything starts
    console.print(Text(f"starting, with logs in {folder / 'logs'}"), soft_wrap=True)
    console.print(Text(_whose(own)), soft_wrap=True)
    with Stack(
        folder,
        tools_dir=own.tools_dir,
        env=own.databases,
        has_postgres="DATABASE_URL" not in own.databases,
        examine=True,
        report=report,
    ) as stack:
        # soft_wrap: a line that is to be copied must not be broken
        console.print(
            Text(instructions(stack.webhook_url, stack.simulator_url, stack.env, own)),
            soft_wrap=True,
        )
        flower_url = _show_flower(stack, console)
        _show_dashboard(stack, console, flower_url)
        while True:
            signal.pause()


def _whose(own: Own) -> str:
    whose, how = ("the", "TOOLS_DIR names others") if own.is_shipped else ("your", "TOOLS_DIR")
    tools = f"{whose} tools in {own.tools_dir} ({how})"
    if not own.databases:
        return f"serving {tools}, from a Postgres with the demo's data"
    urls = " and ".join(sorted(own.databases))
    # it may be left in the terminal by the line that an earlier start printed
    hint = " (unset it for a Postgres with the demo's data)" if "DATABASE_URL" in urls else ""
    return f"serving {tools}, from your {urls}{hint}"


def _show_flower(stack: Stack, console: Console) -> str:
    """Start Flower and print its address, which is returned."""
    port = free_port()
    options = ["--port", str(port), "--db", str(stack.folder / "flower")]
    flower = stack.launch(
        "flower", "-m", "ops.cli", "flower", *options, env={"FLOWER_PASSWORD": stack.secret}
    )
    url = f"http://127.0.0.1:{port}"
    flower.wait_until(lambda: is_up(f"{url}/healthcheck"), timeout_s=_FLOWER_S)
    console.print(
        Text(f"\nsee the tasks: {url} (user operator, password {stack.secret})"), soft_wrap=True
    )
    pages = " ".join(
        url for name, url in stack.metrics_urls.items() if name not in ("flower", "simulator")
    )
    console.print(Text(f"metrics: {pages}"), soft_wrap=True)
    return url


def _show_dashboard(stack: Stack, console: Console, flower_url: str) -> None:
    port = free_port()
    env = {**DASHBOARD_PASSWORDS, "DASHBOARD_FLOWER_URL": flower_url}
    dashboard = stack.launch(
        "dashboard", "-m", "ops.cli", "dashboard", "--port", str(port), env=env
    )
    url = f"http://127.0.0.1:{port}"
    dashboard.wait_until(lambda: is_up(f"{url}/livez"), timeout_s=_FLOWER_S)
    password, second = DASHBOARD_PASSWORDS.values()
    how = f"user operator, password {password}; to see data and replay, {second}"
    console.print(Text(f"see the runs: {url} ({how})"), soft_wrap=True)


def instructions(
    webhook_url: str, simulator_url: str, env: Mapping[str, str], own: Own = _NOTHING
) -> str:
    """
    What to type to send a signed delivery, to see its answer, and to look at the stack.

    Args:
        env: Of the stack's programs.
    """
    delivery = own.delivery()
    body = json.dumps(delivery)
    signed = deliveries.signature(body.encode(), env["WEBHOOK_SECRETS"].encode())
    curl = [
        "curl",
        "-i",
        f"{webhook_url}/webhook/tool-calls",
        "-H",
        "Content-Type: application/json",
        "-H",
        f"X-Hub-Signature-256: {signed}",
        "--data-binary",
        body,
    ]
    return "\n".join(
        [
            "",
            "send a signed delivery (the same again is answered as a duplicate):",
            f"  {shlex.join(curl)}",
            "",
            "see what Genesys was sent:",
            f"  curl -s {simulator_url}/_sim/submissions",
            "",
            "let toolworker find all this, once in each terminal:",
            f"  {_export({**env, **own.env()}, own)}",
            "",
            "and then, for instance:",
            "  toolworker runs list",
            f"  toolworker runs why {delivery['run_id']}",
            "  toolworker tools test",
            f"  toolworker send FILE --url {webhook_url}/webhook/tool-calls",
            "",
            "Ctrl-C stops everything",
        ]
    )


def _export(env: Mapping[str, str], own: Own) -> str:
    """One line for a shell: the folder of `toolworker`, and what its commands need."""
    programs = shlex.quote(str(Path(sys.executable).parent))
    names = [*_SETTINGS, *({"DATABASE_URL": None} | own.env())]
    values = [f"{name}={shlex.quote(env[name])}" for name in names if name in env]
    return " ".join(["export", f'PATH={programs}:"$PATH"', *values])
