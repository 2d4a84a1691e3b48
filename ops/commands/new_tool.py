"""`toolworker tools new`: write a template of a tool that passes the check."""

import json
import re
from pathlib import Path

import click

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SQL = """\
-- One row is one ... (describe it in a sentence).
-- A placeholder is the property of its name. Cast it where it is not compared with a column.
SELECT %(text)s::text AS text, length(%(text)s) AS letters
"""
_EXAMPLES = """\
[
  {
    "arguments": {"text": "hello"},
    "output": {"items": [{"text": "hello", "letters": 5}], "total": 1}
  },
  {"arguments": {}, "code": "invalid_arguments"}
]
"""


def begin(folder: Path, name: str) -> list[Path]:
    """
    Write the three files of a new tool.

    Raises:
        ClickException: The name cannot be one, or there is such a folder.
    """
    if not _NAME.fullmatch(name):
        raise click.ClickException("a name has 1 to 64 letters, digits, _ or -")
    if name.startswith("_"):
        raise click.ClickException("a name may not begin with _; such folders are no tools")
    path = folder / name
    tool = {
        "name": name,
        "description": "When to use it and what it answers; the model chooses by this.",
        "parameters": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "maxLength": 200, "description": "What to look for."}
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        "no_rows_message": "Nothing found for {text}.",
    }
    texts = {
        "tool.json": json.dumps(tool, indent=2) + "\n",
        "query.sql": _SQL,
        "examples.json": _EXAMPLES,
    }
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already") from None
    for file, text in texts.items():
        (path / file).write_text(text)
    return [path / file for file in texts]
