"""Environment variables and the files that they name; the environment is read here alone."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

_DATABASE_URL = re.compile(r"DATABASE_URL_([A-Z0-9_]+?)(_FILE)?")


class SettingsError(Exception):
    """The environment is wrong; the message has one line per mistake and no values."""


def value_of(name: str) -> str:
    """
    Value of the setting *name*, from its variable or from the file of NAME_FILE; empty if unset.

    Raises:
        SettingsError: It is not UTF-8, or its file cannot be read.
    """
    return _lower_case(name) or _value(name) or _from_file(name)


def variables() -> Mapping[str, str]:
    """All variables of this process."""
    return os.environ


def database_variables() -> list[str]:
    """The variables that are set and name a further database, as `DATABASE_URL_CRM` does."""
    return [variable for variable in os.environ if _DATABASE_URL.fullmatch(variable)]


def databases() -> dict[str, str]:
    """URL of each further database: `DATABASE_URL_CRM`, or the file of its `_FILE`, is `crm`."""
    urls = {}
    for variable in os.environ:
        match = _DATABASE_URL.fullmatch(variable)
        if match and match[1] != "FILE":
            value = _value(variable)
            if url := _read(variable, value) if match[2] and value else value:
                urls[match[1].lower()] = url
    return urls


def forget(prefix: str) -> None:
    """Unset, in this process, the variables that a library would read; ours were read before."""
    for name in [name for name in os.environ if name.startswith(prefix)]:
        del os.environ[name]


def _value(variable: str) -> str:
    text = os.environ.get(variable, "").strip()
    try:
        text.encode()
    except UnicodeEncodeError:  # Python keeps such bytes as lone surrogates
        raise SettingsError(f"{variable}: is not UTF-8") from None
    return text


def _lower_case(name: str) -> str:
    """`https_proxy` and the like, which come before `HTTPS_PROXY` for requests and curl."""
    return _value(name.lower()) if name.endswith("_PROXY") else ""


def _from_file(name: str) -> str:
    """`NAME_FILE=/path` gives NAME from a file, as container secrets are mounted."""
    variable = f"{name}_FILE"
    path = _value(variable)
    return _read(variable, path) if path else ""


def _read(variable: str, path: str) -> str:
    try:
        # "-sig": an editor on Windows puts a byte order mark first
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{variable}: {path} cannot be read ({type(exc).__name__})") from exc
