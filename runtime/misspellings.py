"""Find misspelt settings: variables with almost the name of a setting that is not set."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

_CLOSE = 0.9
"""
Least similarity. None of 25,900 names in our 111 packages, Python and our own files reaches it;
`RUN_ANSWER_BY` is at 0.93 of `RUN_ANSWER_BY_S`, `DASHBOARD_PORT` at 0.83 of `DASHBOARD_HOSTS`.
"""
_SHARED = re.compile(r".*_PROXY|.*_CA_BUNDLE|SSL_.*|OTEL_.*")
"""Settings of many programs, whose other settings have similar names."""
_SERVICE = re.compile(r"(tcp|udp|sctp)://")
"""How Kubernetes and Docker's links begin `<SERVICE>_PORT`."""


def misspelt(
    environment: Mapping[str, str], settings: Iterable[str], known: Collection[str]
) -> dict[str, str]:
    """
    The variables that are probably misspelt, each with the setting that was probably meant.

    A setting that is set, or its `_FILE`, was not meant: `DATABASE_URI` beside a DATABASE_URL is
    another program's.

    Args:
        settings: The names of all settings.

        known: Further variables that have an effect, or are refused by name.
    """
    names = [name for name in settings if not _SHARED.fullmatch(name)]
    unset = [n for n in names if not (environment.get(n) or environment.get(f"{n}_FILE"))]
    found = {}
    for variable, value in environment.items():
        stem = variable.removesuffix("_FILE")
        is_ours = stem in names or variable in known
        if is_ours or not value.strip() or _SERVICE.match(value) or not variable.isprintable():
            continue
        if meant := _nearest(stem, unset):
            found[variable] = f"{meant}_FILE" if variable != stem else meant
    return found


def _nearest(stem: str, settings: Iterable[str]) -> str | None:
    written = re.sub("_SECONDS$", "_S", stem.upper())
    # the first letter is hardly ever the wrong one, and so 300 variables take 15 ms
    alike = [name for name in settings if name[0] == written[:1]]
    return next(iter(get_close_matches(written, alike, n=1, cutoff=_CLOSE)), None)
