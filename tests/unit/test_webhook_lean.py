"""What is left out of Flask changes no answer."""

import io

import pytest
from flask import Flask, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder, run_wsgi_app

from webhook.app import body_of
from webhook.arrival import MAX_BODY_BYTES
from webhook.lean import LeanFlask, WholeResponse


def routes(app):
    app.url_map.merge_slashes = False

    @app.post("/taken")
    def taken():
        return WholeResponse("202 ACCEPTED", request.get_data() + b"\n")

    @app.get("/seen")
    def seen():
        return {"status": "seen"}

    @app.errorhandler(ValueError)
    def wrong(error):
        return jsonify({"error": str(error)}), 400

    @app.get("/wrong/<name>")
    def fails(name):
        raise ValueError(name)

    return app


@pytest.fixture
def lean():
    return routes(LeanFlask(__name__))


@pytest.fixture
def whole():
    return routes(Flask(__name__, static_folder=None))


ASKED = [
    (method, path)
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW")
    for path in ("/taken", "/seen", "/seen/", "/wrong/a", "/nowhere", "/", "*")
]


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_it_answers_as_flask_does(method, path, lean, whole):
    answers = [app.test_client().open(path, method=method, data=b"{}") for app in (lean, whole)]
    mine, theirs = ((a.status_code, a.data, a.headers.get("Allow")) for a in answers)
    assert mine == theirs


@pytest.mark.parametrize("path", ["//seen", "///taken", "//wrong/a", "//"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_slashes_that_flask_would_leave_out_lead_nowhere(lean, method, path):
    environ = {**EnvironBuilder(method=method).get_environ(), "PATH_INFO": path}
    assert run_wsgi_app(lean, environ)[1] == "404 NOT FOUND"


def test_one_request_leaves_nothing_for_the_next(lean):
    client = lean.test_client()
    bodies = [client.post("/taken", data=body).data for body in (b"one", b"two")]
    assert bodies == [b"one\n", b"two\n"]
    assert client.get("/taken").status_code == 405
    assert client.post("/taken", data=b"three").data == b"three\n"


def test_a_whole_response_is_sent_as_it_stands(lean):
    told = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/taken", "SERVER_NAME": "a",
               "SERVER_PORT": "1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(b"{}"),
               "CONTENT_LENGTH": "2"}  # fmt: skip
    body = lean(environ, lambda *start: told.append(start))
    assert list(body) == [b"{}\n"]
    headers = [("Content-Type", "application/json"), ("Content-Length", "3")]
    assert told == [("202 ACCEPTED", headers)]


def test_a_body_is_read_to_its_end_and_no_further(lean):
    open_ended = {"wsgi.input": io.BytesIO(b"{}and more"), "CONTENT_LENGTH": "2"}
    with lean.request_context({**EnvironBuilder().get_environ(), **open_ended}):
        assert body_of(request.environ) == b"{}"
    ended = {"wsgi.input": io.BytesIO(b"{}"), "wsgi.input_terminated": True}
    with lean.test_request_context():
        assert body_of({**request.environ, **ended}) == b"{}"


@pytest.mark.parametrize("is_terminated", [False, True])
def test_a_body_that_is_too_large_is_refused(lean, is_terminated):
    lean.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    with (
        lean.test_request_context(data=b"x" * (MAX_BODY_BYTES + 1)),
        pytest.raises(RequestEntityTooLarge),
    ):
        body_of({**request.environ, "wsgi.input_terminated": is_terminated})
