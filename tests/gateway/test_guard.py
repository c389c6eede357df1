"""Requests that are refused in front of Flask, and the limit on concurrent ones."""

from __future__ import annotations

import threading
from typing import Any
from wsgiref.validate import validator

import pytest
from werkzeug.test import Client, run_wsgi_app

from gpt_cursor_runner.gateway.guard import (
    MAX_HEADER_BYTES,
    PERMITS,
    ConcurrencyLimit,
    Guard,
    InFlight,
)
from tests.building import patch_body
from tests.gateway.builders import problem


def inner(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


@pytest.fixture
def permits():
    return ConcurrencyLimit(1)


class Closing(Client):
    """Closes what it read, as the validator demands of a server."""

    def open(self, *arguments, **named):
        return super().open(*arguments, buffered=True, **named)


@pytest.fixture
def client(permits):
    return Closing(validator(guarded(validator(inner), permits)))


def guarded(
    application: Any, permits: ConcurrencyLimit, in_flight: InFlight | None = None
) -> Guard:
    return Guard(permits.before(application), ["localhost"], in_flight or InFlight())


def test_a_sender_without_a_permit_gets_503_and_retry_after(client, permits):
    assert permits.acquire()
    answer = client.post("/webhook")
    problem(answer, 503, "busy")
    assert answer.headers["Retry-After"] == "1"
    permits.release()
    assert client.post("/webhook").data == b"inside"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_reading_request_needs_no_permit(client, permits, method):
    assert permits.acquire()
    assert client.open("/livez", method=method).status_code == 200


def test_a_permit_is_released_when_the_application_raises(permits):
    def broken(environ, start_response):
        raise RuntimeError("broken")

    for _ in range(3):
        with pytest.raises(RuntimeError):
            Client(guarded(broken, permits)).post("/webhook")
    assert permits.free() == 1


def test_requests_in_flight_are_counted_whatever_their_end(permits):
    in_flight, counts = InFlight(), []

    def counting(environ, start_response):
        counts.append(in_flight.count())
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("broken")
        return inner(environ, start_response)

    client = Client(guarded(counting, permits, in_flight))
    client.get("/")
    client.post("/")
    with pytest.raises(RuntimeError):
        client.get("/broken")
    client.get("/", headers={"Host": "elsewhere.example"})
    assert (counts, in_flight.count()) == ([1, 1, 1], 0)


def test_permits_are_released_after_every_kind_of_answer(shared_gateway):
    for _ in range(PERMITS + 1):
        assert shared_gateway.post(b"[" * 5000).status_code == 400
    assert shared_gateway.post(key="wrong").status_code == 401
    assert shared_gateway.call("DELETE", "/webhook").status_code == 405
    assert shared_gateway.post().status_code == 202


def test_many_threads_never_change_the_number_of_permits():
    permits, taken = ConcurrencyLimit(10), []

    def take_and_give():
        for _ in range(500):
            if permits.acquire():
                taken.append(1)
                assert permits.free() >= 0
                permits.release()

    threads = [threading.Thread(target=take_and_give) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken and permits.free() == 10


@pytest.mark.parametrize("where", ["header", "type", "query"])
def test_too_much_header_is_431(client, where):
    long = "a" * MAX_HEADER_BYTES
    asked: dict[str, dict[str, Any]] = {
        "header": {"headers": {"X-Long": long}},
        "type": {"content_type": long},
        "query": {"query_string": long},
    }
    problem(client.get("/livez", **asked[where]), 431, "headers_too_large")


def test_many_small_headers_count_together(client):
    headers = {f"X-Number-{number}": "a" * 100 for number in range(400)}
    problem(client.post("/webhook", headers=headers), 431)


def test_two_lengths_are_refused(client):
    answer = client.post("/webhook", data=b"hello", headers={"Transfer-Encoding": "chunked"})
    problem(answer, 400, "two_lengths")


def test_a_refused_head_has_no_body():
    environ = {"REQUEST_METHOD": "HEAD", "HTTP_X": "a" * MAX_HEADER_BYTES}
    body, status, headers = run_wsgi_app(guarded(inner, ConcurrencyLimit()), environ)
    assert (b"".join(body), status) == (b"", "431 Request Header Fields Too Large")
    assert int(headers["Content-Length"]) > 0


def test_an_incomplete_body_is_refused_whatever_its_type(gateway):
    diff = b"--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# App\n+# Apple\n"
    environ = {
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": str(len(diff) + 10),
        "wsgi.input_terminated": True,
    }
    headers = {"Authorization": f"Bearer {gateway.keys['all']}"}
    query = {"id": "cut", "title": "Cut"}
    answer = gateway.client.post(
        "/webhook", query_string=query, data=diff, headers=headers, environ_overrides=environ
    )
    problem(answer, 400, "cut_off")
    assert gateway.ids() == []
    assert gateway.post(patch_body(id="whole")).status_code == 202


@pytest.mark.parametrize(
    ("nonce", "answered"),
    [("abc-DEF_1", "abc-DEF_1"), ("<script>", None), ("a" * 65, None), ("", None)],
)
def test_flask_answers_the_self_call(shared_gateway, nonce, answered):
    answer = shared_gateway.get(f"/pulse?nonce={nonce}", key=None)
    assert (answer.status_code, answer.json["nonce"]) == (200, answered)
    assert answer.json["instance_id"] == shared_gateway.get("/livez", key=None).json["instance_id"]
    assert answer.headers["X-Request-Id"]  # only Flask adds one
    assert "X-Request-Id" not in shared_gateway.get("/livez", key=None).headers


@pytest.mark.parametrize(
    "path", ["/health", "/livez", "/readyz", "/metrics", "/health/checks/web", "/health/history"]
)
def test_health_routes_refuse_other_methods_in_front_of_flask(shared_gateway, path):
    problem(shared_gateway.call("POST", path), 405, "method")
