"""The receiver does what `docs/openapi.yaml` describes: schemathesis tests it."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests import statuses
from tests.cases import cases
from tests.receiver import ROOT, SECRET, delivery, running_receiver, signed

DESCRIPTION = ROOT / "docs" / "openapi.yaml"
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
schema = schemathesis.openapi.from_path(DESCRIPTION)


@pytest.fixture(scope="module")
def receiver(redis_server, tmp_path_factory):
    with running_receiver(tmp_path_factory.mktemp("openapi"), redis_server.url) as receiver:
        yield receiver


OFTEN = settings(max_examples=cases(200), deadline=None, suppress_health_check=list(HealthCheck))


# One function an address: with pytest 9.2 all operations that one function is given have its name,
# and of tests of one name pytest-xdist 3.8.0 runs one.
@schema.include(path="/webhook/tool-calls").parametrize()
@OFTEN
def test_every_answer_to_a_delivery_is_one_that_is_described(receiver, case):
    _must_be_described(receiver, case)


@schema.include(path="/livez").parametrize()
@OFTEN
def test_every_answer_of_livez_is_one_that_is_described(receiver, case):
    _must_be_described(receiver, case)


@schema.include(path="/readyz").parametrize()
@OFTEN
def test_every_answer_of_readyz_is_one_that_is_described(receiver, case):
    _must_be_described(receiver, case)


def _must_be_described(receiver, case):
    # signed as it goes out: without a signature nothing but 401 would ever be seen
    prepared = case.as_transport_kwargs(base_url=receiver.url)
    body = json.dumps(prepared["json"]).encode() if "json" in prepared else b""
    response = case.call(base_url=receiver.url, headers=signed(body), timeout=30)
    case.validate_response(response, checks=CHECKS)


def test_the_addresses_described_are_those_there_are(receiver):
    described = dict(schema.raw_schema["paths"])
    described.pop("/genesys/actions/{tool}")  # of another process: test_actions_openapi.py
    assert set(described) == {"/webhook/tool-calls", "/livez", "/readyz"}
    for path, methods in described.items():
        for method in ("get", "post", "put", "delete", "patch"):
            status = receiver.ask(method.upper(), path)[0]
            assert (status == 405) is (method not in methods)


def test_every_status_that_is_sent_is_described():
    responses = schema.raw_schema["paths"]["/webhook/tool-calls"]["post"]["responses"]
    of_other_requests = {200, 404, 405}
    sent = statuses.of_code("webhook", "app", "delivery", "error_handlers", "errors")
    sent |= statuses.of_proxy("/refused")
    assert {int(status) for status in responses} == sent - of_other_requests


def test_every_way_to_prove_a_delivery_is_described(redis_server, tmp_path):
    ways = schema.raw_schema["paths"]["/webhook/tool-calls"]["post"]["security"]
    assert [list(way) for way in ways] == [
        ["hubSignature"], ["standardWebhooks"], ["bearer"], ["headerOfYourChoice"]
    ]  # fmt: skip
    headers = schema.raw_schema["components"]["securitySchemes"]
    name = headers["headerOfYourChoice"]["name"]
    with running_receiver(tmp_path, redis_server.url, WEBHOOK_AUTH=f"header:{name}") as receiver:
        assert receiver.post(delivery("in-a-header"), {name: SECRET})[0] == 202
        assert receiver.post(delivery("in-a-header"), {name: "other"})[0] == 401


def test_the_example_is_accepted(receiver):
    operation = schema.raw_schema["paths"]["/webhook/tool-calls"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert receiver.post(json.dumps(example).encode())[0] == 202


def test_the_limits_described_are_the_receivers(receiver):
    calls = [(f"c{number}", "n", "{}") for number in range(129)]
    assert receiver.post(delivery("limits", *calls[:128]))[0] == 202
    assert receiver.post(delivery("limits", *calls))[0] == 400
    assert receiver.post(delivery("r" * 256))[0] == 202
    assert receiver.post(delivery("r" * 257))[0] == 400
    for levels, status in ((64, 202), (65, 400)):
        arguments = json.loads("[" * levels + "]" * levels)
        assert receiver.post(delivery("deep", ("c", "n", arguments)))[0] == status


def test_the_limits_are_written_down():
    text = DESCRIPTION.read_text()
    for limit in ("1,000,000", "64 levels", "16,384", "maxItems: 128", "maxLength: 256", "4,096"):
        assert limit in text
