"""`toolworker up`: the whole service on this machine until Ctrl-C, and a line to try it with."""

import json
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ops import deliveries, demo
from ops.server import free_port
from ops.stack import Stack, is_up

_FLOWER_S = 30.0
# without TOOLS_DIR: the stack's is a copy that the next start replaces, with what was made in it
_SETTINGS = (
    "REDIS_URL",
    "LEDGER_URL",
    "DATABASE_URL",
    "GENESYS_BASE_URL",
    "GENESYS_LOGIN_URL",
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
    "WEBHOOK_SECRETS",
)


def serve(folder: Path, console: Console) -> bool:
    """
    Run the stack, print how to use it, and wait.

    Raises:
        KeyboardInterrupt: Always, in the end; by then every part has stopped.

        StartError: A part of the stack did not come up.
    """

    def say(name: str, where: str, took_s: float) -> None:
        console.print(Text(f"  {name:<13} {where:<60} {took_s:4.1f} s"), soft_wrap=True)

    console.print(Text(f"starting, with logs in {folder / 'logs'}"), soft_wrap=True)
    with Stack(
        folder, tools_dir=demo.tools_folder(folder / "tools"), examine=True, say=say
    ) as stack:
        # soft_wrap: a line that is to be copied must not be broken
        console.print(
            Text(instructions(stack.webhook_url, stack.simulator_url, stack.env)), soft_wrap=True
        )
        _show_flower(stack, console)
        while True:
            signal.pause()


def _show_flower(stack: Stack, console: Console) -> None:
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


def instructions(webhook_url: str, simulator_url: str, env: Mapping[str, str]) -> str:
    """
    What to type to send a signed delivery, to see its answer, and to look at the stack.

    Args:
        env: Of the stack's programs.
    """
    delivery = demo.load_runs()[0].delivery
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
            f"  {_export(env)}",
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


def _export(env: Mapping[str, str]) -> str:
    """One line for a shell: the folder of `toolworker`, and what its commands need."""
    programs = shlex.quote(str(Path(sys.executable).parent))
    values = [f"{name}={shlex.quote(env[name])}" for name in _SETTINGS]
    return " ".join(["export", f'PATH={programs}:"$PATH"', *values])
