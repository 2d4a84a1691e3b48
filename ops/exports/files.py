"""Write an export: one file a tool and one for what all share; equal tools, equal bytes."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from db.catalog import Tool
from ops.exports import action, ava, terraform
from ops.exports.shape import Options, action_name, contract

FORMATS = ("genesys-action", "genesys-action-api", "terraform", "ava")


def write(tools: Sequence[Tool], form: str, options: Options, folder: Path) -> Iterator[str]:
    """
    Write the files of one format into *folder*.

    A file that is there is replaced. Files of tools that are gone are left: their actions may be in
    use.

    Returns:
        A line for each file, and one for each contract that an earlier export had otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".tf.json" if form == "terraform" else ".json"
    yield _put(folder / f"_shared{suffix}", _shared(tools, form, options))
    for tool in tools:
        path = folder / f"{tool.name}{suffix}"
        before = _version_in(path, tool, options)
        yield f"{_put(path, _one(tool, form, options))}  {action_name(tool, options)}"
        now = contract(tool, options).version
        if before not in (None, now):
            yield (
                f"{tool.name}: the contract changed from {before} to {now}, so Genesys makes a new"
                " action with a new id: point flows, guides and agents to it"
            )


def _one(tool: Tool, form: str, options: Options) -> dict[str, Any]:
    if form == "genesys-action":
        return action.import_file(tool, options)
    if form == "genesys-action-api":
        return action.api_body(tool, options)
    if form == "terraform":
        return terraform.action(tool, options)
    return ava.definition(tool, options)


def _shared(tools: Sequence[Tool], form: str, options: Options) -> dict[str, Any]:
    if form == "terraform":
        return terraform.shared(options)
    if form == "ava":
        return ava.shared()
    kind, fields = action.credential(options)
    return {
        "integrationType": "custom-rest-actions",
        "category": options.category,
        "credentials": {"type": kind, "fields": list(fields)},
        "actions": {tool.name: action_name(tool, options) for tool in tools},
    }


def _put(path: Path, value: dict[str, Any]) -> str:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return str(path)


def _version_in(path: Path, tool: Tool, options: Options) -> str | None:
    """The contract's version in an earlier export's file; None when there is no such."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(
        rf'"{re.escape(options.category)} {re.escape(tool.name)} ([0-9a-f]{{6}})"', text
    )
    return found[1] if found else None
