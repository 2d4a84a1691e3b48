"""The context of a delivery holds what its called tools bind, and only if the body is signed."""

from types import SimpleNamespace

import pytest

from db.catalog import Catalog
from webhook.context import Context, unlisted_headers, unsigned_risk
from webhook.delivery import read


def _catalog(**bind_of):
    tools = {n: SimpleNamespace(name=n, bind=bind) for n, bind in bind_of.items()}
    return Catalog(tools, "digest")  # type: ignore[arg-type]


def _calls(*names):
    return [
        {"id": n, "type": "function", "function": {"name": n, "arguments": "{}"}} for n in names
    ]


ORDERS = _catalog(orders={"customer_id": "/context/id"}, stock={}, mail={"tenant": "/tenant"})


def _values(body, *names, tools=ORDERS, headers=(), is_signed=True, is_unsigned_bound=False):
    context = Context(tools, is_unsigned_bound=is_unsigned_bound)
    return context.values(_calls(*names), read(body), dict(headers), is_signed=is_signed)


BODY = b'{"context": {"id": 7, "name": "Ada"}, "tenant": "t"}'


def test_only_what_a_called_tool_binds_is_kept():
    assert _values(BODY, "orders", "stock", "no such tool") == {"/context/id": 7}
    assert _values(BODY, "stock") == {}
    assert _values(BODY, "mail", "orders") == {"/context/id": 7, "/tenant": "t"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'"C-1"', "C-1"),
        (b"true", True),
        (b"9007199254740993", 9007199254740993),
        (b"9007199254740993.0", None),
        (b"1e3", None),
        (b"null", None),
        (b"[7]", None),
        (b'{"id": 7}', None),
        (b'"' + b"x" * 1024 + b'"', "x" * 1024),
        (b'"' + b"x" * 1025 + b'"', None),
        (b"9" * 4301, None),
        (b"9" * 5000, None),
    ],
)
def test_a_value_is_kept_exactly_or_not_at_all(value, kept):
    found = _values(b'{"context": {"id": ' + value + b"}}", "orders")
    assert found == {"/context/id": kept}
    assert type(found["/context/id"]) is type(kept)


def test_a_delivery_without_a_value_is_kept_as_one_without():
    assert _values(b"{}", "orders") == {"/context/id": None}


def test_an_unsigned_body_has_no_context_unless_the_operator_wants_it():
    assert _values(BODY, "orders", is_signed=False) == {"/context/id": None}
    allowed = _values(BODY, "orders", is_signed=False, is_unsigned_bound=True)
    assert allowed == {"/context/id": 7}


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"X-Customer": "C-1"}, "C-1"),
        ({"x-customer": " C-1 "}, "C-1"),
        ({"X-CUSTOMER": "J\xc3\xb6rg"}, "Jörg"),
        # the last bytes are white space to Python: a no-break space, and a line end of EBCDIC
        ({"X-Customer": "Niccol\xc3\xa0"}, "Niccolà"),
        ({"X-Customer": "\t\xc3\x85 "}, "Å"),
        ({"X-Customer": "\xf6"}, None),
        ({"X_Customer": "C-1"}, ""),
        ({}, ""),
    ],
)
def test_a_header_is_found_in_any_case_and_read_as_utf_8(headers, kept):
    tools = _catalog(orders={"customer_id": "header:X-Customer"})
    assert _values(b"{}", "orders", tools=tools, headers=headers) == {"header:X-Customer": kept}


def test_a_header_must_be_one_that_the_proxy_sets():
    tools = _catalog(orders={"customer_id": "header:X-Customer"})
    assert unlisted_headers(tools, ["x-customer"]) == ()
    (mistake,) = unlisted_headers(tools, ["x-other"])
    assert (mistake.file, mistake.line) == ("orders/tool.json", 1)
    assert "WEBHOOK_BIND_HEADERS does not list" in mistake.message


def test_a_start_names_the_tools_that_unsigned_deliveries_cannot_or_can_call():
    hub = "x-hub-signature-256"
    assert unsigned_risk(ORDERS, [hub], is_unsigned_bound=True) == ""
    assert unsigned_risk(_catalog(stock={}), ["none"], is_unsigned_bound=False) == ""
    refused = unsigned_risk(ORDERS, [hub, "bearer"], is_unsigned_bound=False)
    assert refused.startswith("calls of orders, mail in deliveries proven by bearer alone are")
    allowed = unsigned_risk(ORDERS, ["none"], is_unsigned_bound=True)
    assert allowed.startswith("WEBHOOK_BIND_UNSIGNED=true: a sender of none chooses for whom")
