"""Helper: the statuses that our code and the proxy's configuration name, read from their text."""

import re
import tokenize
from http import HTTPStatus

from werkzeug import exceptions

from tests.receiver import ROOT


def of_code(package, *modules):
    """Every number in these modules that can be a status, and those of HTTP errors they raise."""
    found = set()
    for module in modules:
        path = ROOT / package / f"{module}.py"
        with path.open("rb") as source:
            tokens = list(tokenize.tokenize(source.readline))
        found |= {token.string for token in tokens if token.type == tokenize.NUMBER}
        raised = re.findall(r"\braise (?:\w+\.)*(\w+)", path.read_text())
        found |= {str(getattr(getattr(exceptions, name, None), "code", "")) for name in raised}
    return {status.value for status in HTTPStatus if str(status.value) in found}


def of_proxy(place):
    """The statuses with which the proxy itself answers at *place*, a path of its error pages."""
    found = set()
    lines = (ROOT / "ops" / "proxy" / "nginx.conf").read_text().splitlines()
    for line in lines:
        if line.strip().startswith("error_page") and line.split()[-1] == f"{place};":
            codes = line.split()[1:-1]
            changed = [code[1:] for code in codes if code.startswith("=")]
            found |= {int(code) for code in changed or codes}
    return found
