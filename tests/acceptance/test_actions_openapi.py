"""The data-action endpoint does what `docs/openapi.yaml` describes: schemathesis tests it."""

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
)

from tests import statuses
from tests.cases import cases
from tests.endpoint import ROOT, SECRET, running_endpoint

PATH = "/genesys/actions/{tool}"
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
TOOLS = ("search_inventory", "get_order", "list_recent_tickets")
schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
OFTEN = settings(max_examples=cases(200), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory, reader_url):
    with running_endpoint(tmp_path_factory.mktemp("openapi"), reader_url) as endpoint:
        yield endpoint


def _call(endpoint, case):
    key = {"X-API-Key": SECRET}
    response = case.call(base_url=endpoint.url, headers=key, timeout=90)
    if response.status_code == 503:
        # of a timeout of a second queries have a quarter, which a busy machine may take longer
        patient = {**key, "X-Action-Timeout": "60"}
        response = case.call(base_url=endpoint.url, headers=patient, timeout=90)
    return response


@schema.include(path=PATH).parametrize()
@OFTEN
def test_every_answer_is_one_that_is_described(endpoint, case):
    response = _call(endpoint, case)
    case.validate_response(response, checks=CHECKS)


@schema.include(path=PATH).parametrize()
@OFTEN
def test_no_arguments_make_a_shipped_tool_fail(endpoint, case):
    tool = TOOLS[len(repr(case.body)) % len(TOOLS)]
    case.path_parameters = {"tool": tool}
    response = _call(endpoint, case)
    # an argument or header that is not described may be ignored
    checks = [check for check in CHECKS if check is not negative_data_rejection]
    case.validate_response(response, checks=checks)
    assert response.status_code in (200, 400, 405)  # it tries other methods, too


def test_the_example_finds_something(endpoint):
    operation = schema.raw_schema["paths"][PATH]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert endpoint.call("search_inventory", example)[1]["total"] == 2


def test_every_status_that_is_sent_is_described():
    responses = schema.raw_schema["paths"][PATH]["post"]["responses"]
    of_other_requests = {405}
    sent = statuses.of_code("actions", "responses", "app", "auth", "contract", "deadline", "errors")
    sent |= statuses.of_proxy("/action-refused")
    assert {int(status) for status in responses} == sent - of_other_requests
