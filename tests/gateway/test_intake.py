"""Valid patches: accepted once, every repeat recognised, followed on request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from flask import Flask

from gpt_cursor_runner.gateway.guard import PERMITS
from gpt_cursor_runner.gateway.long_poll import MAX_WAITERS, LongPoll, requested_wait_seconds
from gpt_cursor_runner.gateway.serve import BLOCKING_THREADS
from tests.building import make_admission, patch_body
from tests.gateway.builders import problem
from tests.running import wait_until

DIFF = (
    '--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+   '
    ' return "grüß"\n'
)


@pytest.mark.parametrize("path", ["/webhook", "/v1/patches"])
def test_an_accepted_patch_is_answered_with_its_address(gateway, path):
    answer = gateway.call("POST", path, patch_body(id="hello(1)"))
    assert (answer.status_code, answer.headers["Location"]) == (202, "/v1/patches/hello(1)")
    stored = gateway.ledger.queries.get("hello(1)")
    assert answer.json == {
        "patch_id": "hello(1)",
        "status": "queued",
        "digest": stored.digest,
        "status_url": "/v1/patches/hello(1)",
    }
    assert stored.submitted_by == "key all"


def test_the_body_is_kept_byte_for_byte(gateway):
    body = (
        b' {"id":"raw",  "title":'
        b' "T\\u00e9",\n"changes":[{"type":"upsert","path":"a","contents":"1"}]}\n'
    )
    assert gateway.post(body).status_code == 202
    assert gateway.ledger.queries.request("raw") == body


def test_a_repeat_is_answered_with_the_same_digest(gateway):
    body = patch_body(id="twice")
    first, again = gateway.post(body), gateway.post(body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json == {**first.json, "replayed": True}
    assert again.headers["Location"] == first.headers["Location"]
    spelt_otherwise = dict(reversed(list(body.items())))
    assert gateway.post(spelt_otherwise).json["replayed"]


def test_a_repeat_after_landing_is_not_refused_as_applied_already(gateway):
    body = patch_body(
        id="landed", changes=[{"type": "upsert", "path": "new.txt", "contents": "new\n"}]
    )
    gateway.post(body)
    gateway.repo.commit({"new.txt": "new\n"})
    gateway.move("landed", "landed")
    again = gateway.post(body)
    assert (again.status_code, again.json["status"], again.json["replayed"]) == (
        200,
        "landed",
        True,
    )
    problem(gateway.post({**body, "title": "Another"}), 409, "id_taken")


def test_another_body_under_a_used_id_is_refused_and_the_first_stays(gateway):
    gateway.post(patch_body(id="used", title="First"))
    refused = problem(gateway.post(patch_body(id="used", title="Second")), 409, "id_taken")
    assert "new id" in refused["detail"]
    assert gateway.ledger.queries.get("used").title == "First"


def test_fifty_concurrent_requests_with_one_id_make_one_row(gateway):
    body = patch_body(id="crowd")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: gateway.post(body), range(50)))
    assert {answer.status_code for answer in answers} <= {
        200,
        202,
        503,
    }  # more than there are permits
    assert [answer.status_code for answer in answers].count(202) == 1
    assert gateway.ids() == ["crowd"]


def test_a_version_used_twice_is_accepted_with_a_warning(gateway):
    gateway.post(patch_body(id="patch-v1.2(P1)_one"))
    answer = gateway.post(patch_body(id="patch-v1.2(P2)_two"))
    assert answer.status_code == 202
    assert answer.json["warnings"] == ["version 1.2 is already used by patch-v1.2(P1)_one"]


def test_a_raw_diff_brings_its_id_and_title_in_headers(gateway):
    headers = {"Content_Type": "text/plain", "X_Patch_Id": "raw-1", "X_Patch_Title": "Greet warmly"}
    assert gateway.call("POST", "/webhook", DIFF.encode(), **headers).status_code == 202
    stored = gateway.ledger.queries.get("raw-1")
    assert (stored.title, stored.patch.changes[0].text) == ("Greet warmly", DIFF)


def test_a_raw_diff_brings_a_title_in_any_script_in_the_query(gateway):
    path = "/webhook?id=raw-2&title=Gr%C3%BC%C3%9Fe&mode=preview"
    assert (
        gateway.call(
            "POST", path, DIFF.encode(), Content_Type="text/markdown; charset=utf-8"
        ).status_code
        == 202
    )
    stored = gateway.ledger.queries.get("raw-2")
    assert (stored.title, stored.patch.mode) == ("Grüße", "preview")


def test_a_raw_diff_without_id_and_title_lists_both_as_missing(gateway):
    refused = problem(
        gateway.call("POST", "/webhook", DIFF.encode(), Content_Type="text/plain"), 422
    )
    assert {error["pointer"] for error in refused["errors"]} == {"/id", "/title"}


def test_a_preview_is_recorded_as_one(gateway):
    gateway.post(patch_body(id="look", mode="preview"))
    assert gateway.ledger.queries.get("look").patch.mode == "preview"


def land_once_recorded(gateway, patch_id: str) -> None:
    wait_until(lambda: patch_id in gateway.ids(), "the patch was not recorded")
    gateway.move(patch_id, "landed")


@pytest.mark.parametrize("how", ["query", "prefer", "prefer among others"])
def test_a_waiting_sender_gets_the_outcome_when_the_patch_ends(gateway, how):
    path = "/webhook?wait=20" if how == "query" else "/webhook"
    preferences = {"prefer": "wait=20", "prefer among others": "respond-async, wait=20"}
    headers = {}
    if how in preferences:
        headers["Prefer"] = preferences[how]
    end = threading.Thread(target=land_once_recorded, args=(gateway, "patient"))
    end.start()
    answer = gateway.call("POST", path, patch_body(id="patient"), **headers)
    assert (answer.status_code, answer.json["status"]) == (200, "landed")
    assert answer.headers["Location"] == "/v1/patches/patient"
    end.join()


def test_a_held_patch_ends_the_wait(gateway):
    gateway.post(patch_body(id="held"))
    gateway.move("held", "held")
    answer = gateway.get("/v1/patches/held?wait=20")
    assert (answer.status_code, answer.json["status"]) == (200, "held")


def test_a_wait_that_ends_without_an_outcome_is_answered_as_accepted(gateway):
    answer = gateway.call("POST", "/webhook?wait=0.3", patch_body(id="slow"))
    assert (answer.status_code, answer.json["status"]) == (202, "queued")


class Clock(threading.Event):
    """A clock that moves only while a thread waits for this event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return self.is_set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def long_poll(ledger, clock: Clock) -> LongPoll:
    ledger.intake.accept([make_admission(id="watched")])
    return LongPoll(ledger.queries, stopping=clock, monotonic=lambda: clock.now)


def test_a_wait_lasts_as_long_as_it_was_requested(long_poll, clock):
    assert long_poll.wait_until_settled("watched", 20.0) is None
    assert clock.now == pytest.approx(20.0, abs=0.2)


def test_a_wait_is_cut_at_25_seconds():
    with Flask("a test").test_request_context("/?wait=9999"):
        assert requested_wait_seconds() == 25.0


def test_without_a_wait_no_time_passes(long_poll, clock):
    assert long_poll.wait_until_settled("watched", 0.0) is None
    assert clock.now == 0.0


def test_a_request_is_answered_at_once_when_too_many_wait(long_poll, clock):
    assert all(long_poll.slots.acquire(blocking=False) for _ in range(MAX_WAITERS))
    assert long_poll.wait_until_settled("watched", 20.0) is None
    assert clock.now == 0.0


def test_a_stopping_gateway_ends_every_wait(long_poll, clock):
    clock.set()
    assert long_poll.wait_until_settled("watched", 20.0) is None
    assert clock.now < 1.0


@pytest.mark.parametrize("wait", ["", "soon", "-1", "1e3", "٣", "²", "99999", "1;2", "nan"])
def test_a_nonsensical_wait_is_refused_and_nothing_recorded(gateway, wait):
    problem(
        gateway.call("POST", f"/webhook?{urlencode({'wait': wait})}", patch_body()), 400, "bad_wait"
    )
    assert gateway.ids() == []


@pytest.mark.parametrize("wait", ["wait=", "wait=soon", "respond-async, wait=-1"])
def test_a_nonsensical_preference_is_refused_too(gateway, wait):
    problem(gateway.post(Prefer=wait), 400, "bad_wait")
    assert gateway.ids() == []


def test_a_preference_for_something_else_is_no_wait(gateway):
    assert gateway.post(Prefer="await=forever, handling=lenient").status_code == 202


def test_a_waiting_request_is_answered_when_the_gateway_stops(gateway):
    gateway.post(patch_body(id="late"))
    threading.Timer(0.3, gateway.built.leave).start()
    assert gateway.get("/v1/patches/late?wait=20").json["status"] == "queued"


def test_a_wait_frees_its_slot_whatever_its_end(gateway):
    for _ in range(MAX_WAITERS + 1):
        problem(gateway.get("/v1/patches/nobody?wait=0.01"), 404)
    gateway.post(patch_body(id="someone"))
    for _ in range(MAX_WAITERS + 1):
        gateway.get("/v1/patches/someone?wait=0.01")
    assert gateway.built.parts.long_poll.slots.acquire(blocking=False)


def test_waiting_and_sending_requests_leave_threads_for_health():
    assert PERMITS + MAX_WAITERS <= BLOCKING_THREADS - 8
