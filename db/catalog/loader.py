"""Load tool folders into a catalogue, and report every mistake at once."""

import difflib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from db.catalog.bind import BoundArguments, for_model
from db.catalog.checks import check_definition
from db.catalog.definition import Definition, read_definition
from db.catalog.validate import Validator
from db.errors import CatalogError, Mistake, ToolError
from runtime.settings import database_setting

NO_CONTEXT: Mapping[str, Any] = MappingProxyType({})
"""Context of a caller without sources: calls of tools that bind end as `unavailable`."""


@dataclass(frozen=True)
class Tool:
    """
    One function that a model may call.

    `statement` has a placeholder `%(name)s` for each of the schema's properties; `timeout_ms`,
    `max_rows` and `max_bytes` bound its answer; `examples` are what `examples.json` holds.
    `columns` (name to type and description) and `aliases` (property to alias to value of its enum)
    serve callers with fixed contracts, and are empty when the tool does not declare them.
    `bind` (property to source) names the properties that no model writes.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    statement: str
    no_rows_message: str | None
    timeout_ms: int
    max_rows: int
    max_bytes: int
    database: str
    examples: tuple[Mapping[str, Any], ...]
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    bind: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def model_parameters(self) -> Mapping[str, Any]:
        """The schema that the model is given: `parameters` without the bound properties."""
        return for_model(self.parameters, self.bind)

    @cached_property
    def validator(self) -> Validator:
        """
        The compiled schema of what the model writes, made on first use and kept for the life of the
        process; arguments that name a bound property are `forbidden`.
        """
        if not self.bind:
            return Validator(self.parameters)
        return Validator(self.model_parameters, reject=self.reject_bound)

    @cached_property
    def _bound(self) -> BoundArguments:
        return BoundArguments(self.name, self.parameters, self.bind)

    def reject_bound(self, given: Mapping[str, Any]) -> None:
        """
        Refuse arguments that name a bound property, whatever their value.

        Raises:
            ToolError: `forbidden`.
        """
        if any(name in given for name in self.bind):
            raise self._bound.refuse_sent()

    def values(self, arguments: str, context: Mapping[str, Any] = NO_CONTEXT) -> dict[str, Any]:
        """
        One value for each property: the model's arguments, and what is bound.

        Args:
            arguments: A JSON string, as the model wrote it.

            context: Source to value, of what the tool binds; None where there was no value.

        Raises:
            ToolError: `invalid_json`, `invalid_arguments`, `too_large`, `forbidden`, or
                `unavailable` for a source that the receiver did not know of.
        """
        values = self.validator.values(arguments)
        return {**values, **self._bound.values(context)} if self.bind else values

    def values_of_texts(self, arguments: str, texts: Mapping[str, str]) -> dict[str, Any]:
        """The same for a caller that sends bound properties by their names, as text."""
        values = self.validator.values(arguments)
        return {**values, **self._bound.values_of_texts(texts)} if self.bind else values


@dataclass(frozen=True)
class Catalog:
    """
    All tools by name.

    `digest` is a SHA-256 over the folders' contents: two processes with equal ones agree.
    """

    tools: Mapping[str, Tool]
    digest: str

    def without_database(self, names: Collection[str]) -> tuple[Mistake, ...]:
        """A mistake for each tool whose database is not among *names*."""
        return tuple(
            Mistake(
                f"{tool.name}/tool.json",
                1,
                f"database {tool.database} has no URL; set {database_setting(tool.database)}",
            )
            for tool in self.tools.values()
            if tool.database not in names
        )

    def validate(
        self, name: str, arguments: str, context: Mapping[str, Any] = NO_CONTEXT
    ) -> tuple[Tool, dict[str, Any]]:
        """
        The tool and one value for each of its properties, ready to be bound.

        Args:
            arguments: A JSON string, as the model wrote it.

            context: Source to value, of what tools bind; None where there was no value.

        Raises:
            ToolError: `unknown_tool`, or what `Tool.values` raises.
        """
        tool = self.tools.get(name)
        if tool is None:
            raise ToolError("unknown_tool", self._unknown(name))
        return tool, tool.values(arguments, context)

    def _unknown(self, name: str) -> str:
        # of a name from outside only the known ones that resemble it are repeated
        close = difflib.get_close_matches(name, self.tools, n=3, cutoff=0.5)
        hint = (
            f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(self.tools)}."
        )
        return f"There is no tool of this name. {hint}"


def load(folder: Path) -> Catalog:
    """
    Read and check every tool folder in *folder*; names that begin with . or _ are not tools.

    Raises:
        CatalogError: All mistakes of all folders, each with file and line.
    """
    mistakes: list[Mistake] = []
    tools = {}
    digest = hashlib.sha256()
    for path in tool_folders(folder, mistakes):
        definition, found = read_definition(path)
        if definition is not None and not found:
            found = list(check_definition(definition))
        mistakes += found
        if definition is not None and not found:
            tools[path.name] = _tool(definition)
            digest.update(definition.contents())
    if mistakes:
        raise CatalogError(tuple(mistakes))
    return Catalog(tools, digest.hexdigest())


def tool_folders(folder: Path, mistakes: list[Mistake]) -> Iterator[Path]:
    """The folders in *folder* that are tools; a mistake is noted when there is none."""
    try:
        if not folder.is_dir():
            words = "is no folder; TOOLS_DIR names the tools' folder"
            mistakes.append(Mistake(str(folder), 1, words))
            return
        found = [
            p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith((".", "_"))
        ]
    except OSError as error:
        mistakes.append(Mistake(str(folder), 1, f"cannot be read: {error.strerror}"))
        return
    if not found:
        words = "holds no tool folder; begin one with: toolworker tools new NAME"
        if (folder / "tool.json").is_file():
            words = "holds no tool folder; it is one itself: give the folder above it"
        mistakes.append(Mistake(str(folder), 1, words))
    yield from found


def _tool(definition: Definition) -> Tool:
    tool = definition.tool
    return Tool(
        name=tool["name"],
        description=tool["description"],
        parameters=tool["parameters"],
        statement=definition.sql.rstrip().removesuffix(";"),
        no_rows_message=tool.get("no_rows_message"),
        timeout_ms=tool.get("timeout_ms", 5_000),
        max_rows=tool.get("max_rows", 100),
        max_bytes=tool.get("max_bytes", 65_536),
        database=tool.get("database", "default"),
        examples=tuple(definition.examples),
        columns=tool.get("columns", {}),
        aliases=tool.get("aliases", {}),
        bind=tool.get("bind", {}),
    )
