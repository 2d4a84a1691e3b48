"""The result backend applies a chord's body once the last part says that no output is missing."""

from types import SimpleNamespace

import pytest
from celery import Celery, states

from tasks.backend import LedgerBackend


@pytest.fixture
def body():
    """A chord's body, run where it is applied, and with what it was."""
    app, ran = Celery(set_as_current=False), []
    app.conf.task_always_eager = True

    @app.task(name="body")
    def run(run_id):
        ran.append(run_id)

    return SimpleNamespace(app=app, signature=dict(run.si("r")), ran=ran)


def _return(body, state, result):
    backend = LedgerBackend(app=body.app)
    backend.on_chord_part_return(SimpleNamespace(chord=body.signature), state, result)
    return body.ran


def test_the_body_is_applied_when_a_part_says_that_no_output_is_missing(body):
    assert _return(body, states.SUCCESS, 0) == ["r"]


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (states.SUCCESS, 1),
        (states.SUCCESS, None),  # it recorded nothing
        (states.FAILURE, 0),
        (states.FAILURE, RuntimeError("its process died")),
        (states.RETRY, 0),
    ],
)
def test_the_body_is_not_applied_before_or_for_a_part_that_failed(body, state, result):
    assert _return(body, state, result) == []


def test_a_result_is_not_stored_and_a_task_not_known(body):
    backend = LedgerBackend(app=body.app)
    assert backend.store_result("id", 3, states.SUCCESS) == 3
    assert backend.get_task_meta("id") == {"task_id": "id", "status": "PENDING", "result": None}
