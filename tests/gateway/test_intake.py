"""The way in when all is well: accepted once, replayed for ever, followed when
asked.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

from gpt_cursor_runner.gateway.guard import PERMITS
from gpt_cursor_runner.gateway.long_poll import MAX_WAITERS
from gpt_cursor_runner.gateway.serve import BLOCKING_THREADS
from gpt_cursor_runner.ledger.patches import UnknownPatch
from tests.building import patch_body
from tests.gateway.builders import problem

DIFF = (
    '--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def greet():\n-    return "hi"\n+   '
    ' return "grüß"\n'
)


@pytest.mark.parametrize("path", ["/webhook", "/v1/patches"])
def test_a_patch_is_accepted_with_where_to_follow_it(desk, path):
    answer = desk.call("POST", path, patch_body(id="hello(1)"))
    assert (answer.status_code, answer.headers["Location"]) == (202, "/v1/patches/hello(1)")
    stored = desk.ledger.queries.get("hello(1)")
    assert answer.json == {
        "patch_id": "hello(1)",
        "status": "queued",
        "digest": stored.digest,
        "status_url": "/v1/patches/hello(1)",
    }
    assert stored.submitted_by == "key all"


def test_the_body_is_kept_byte_for_byte(desk):
    body = (
        b' {"id":"raw",  "title":'
        b' "T\\u00e9",\n"changes":[{"type":"upsert","path":"a","contents":"1"}]}\n'
    )
    assert desk.post(body).status_code == 202
    assert desk.ledger.queries.request("raw") == body


def test_the_same_again_is_answered_with_the_same_digest(desk):
    body = patch_body(id="twice")
    first, again = desk.post(body), desk.post(body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json == {**first.json, "replayed": True}
    assert again.headers["Location"] == first.headers["Location"]
    spelt_otherwise = dict(reversed(list(body.items())))
    assert desk.post(spelt_otherwise).json["replayed"]


def test_the_same_again_after_it_landed_is_not_called_applied_already(desk):
    body = patch_body(
        id="landed", changes=[{"type": "upsert", "path": "new.txt", "contents": "new\n"}]
    )
    desk.post(body)
    desk.repo.commit({"new.txt": "new\n"})
    desk.move("landed", "landed")
    again = desk.post(body)
    assert (again.status_code, again.json["status"], again.json["replayed"]) == (
        200,
        "landed",
        True,
    )
    problem(desk.post({**body, "title": "Another"}), 409, "id_taken")


def test_another_body_under_a_used_id_is_refused_and_the_first_stays(desk):
    desk.post(patch_body(id="used", title="First"))
    refused = problem(desk.post(patch_body(id="used", title="Second")), 409, "id_taken")
    assert "new id" in refused["detail"]
    assert desk.ledger.queries.get("used").title == "First"


def test_fifty_at_once_with_one_id_make_one_row(desk):
    body = patch_body(id="crowd")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: desk.post(body), range(50)))
    assert {one.status_code for one in answers} <= {200, 202, 503}  # more than there are permits
    assert [one.status_code for one in answers].count(202) == 1
    assert desk.ids() == ["crowd"]


def test_a_version_used_twice_is_accepted_with_a_warning(desk):
    desk.post(patch_body(id="patch-v1.2(P1)_one"))
    answer = desk.post(patch_body(id="patch-v1.2(P2)_two"))
    assert answer.status_code == 202
    assert answer.json["warnings"] == ["version 1.2 is already used by patch-v1.2(P1)_one"]


def test_a_raw_diff_brings_its_id_and_title_in_headers(desk):
    headers = {"Content_Type": "text/plain", "X_Patch_Id": "raw-1", "X_Patch_Title": "Greet warmly"}
    assert desk.call("POST", "/webhook", DIFF.encode(), **headers).status_code == 202
    stored = desk.ledger.queries.get("raw-1")
    assert (stored.title, stored.patch.changes[0].text) == ("Greet warmly", DIFF)


def test_a_raw_diff_brings_a_title_in_any_script_in_the_query(desk):
    path = "/webhook?id=raw-2&title=Gr%C3%BC%C3%9Fe&mode=preview"
    assert (
        desk.call(
            "POST", path, DIFF.encode(), Content_Type="text/markdown; charset=utf-8"
        ).status_code
        == 202
    )
    stored = desk.ledger.queries.get("raw-2")
    assert (stored.title, stored.patch.mode) == ("Grüße", "preview")


def test_a_raw_diff_without_an_id_says_what_is_missing(desk):
    refused = problem(desk.call("POST", "/webhook", DIFF.encode(), Content_Type="text/plain"), 422)
    assert {error["pointer"] for error in refused["errors"]} == {"/id", "/title"}


def test_a_preview_is_recorded_as_one(desk):
    desk.post(patch_body(id="look", mode="preview"))
    assert desk.ledger.queries.get("look").patch.mode == "preview"


def land_once_there(desk, patch_id: str) -> None:
    give_up_at = time.monotonic() + 15
    while time.monotonic() < give_up_at:
        with contextlib.suppress(UnknownPatch):
            desk.ledger.queries.get(patch_id)
            break
        time.sleep(0.02)
    time.sleep(0.2)
    desk.move(patch_id, "landed")


@pytest.mark.parametrize("how", ["query", "prefer", "prefer among others"])
def test_a_sender_who_waits_gets_the_outcome_when_it_ends(desk, how):
    path = "/webhook?wait=20" if how == "query" else "/webhook"
    headers = (
        {}
        if how == "query"
        else {"Prefer": "wait=20" if how == "prefer" else "respond-async, wait=20"}
    )
    end = threading.Thread(target=land_once_there, args=(desk, "patient"))
    end.start()
    answer = desk.call("POST", path, patch_body(id="patient"), **headers)
    assert (answer.status_code, answer.json["status"]) == (200, "landed")
    assert answer.headers["Location"] == "/v1/patches/patient"
    end.join()


def test_a_held_patch_ends_the_wait_since_a_person_is_needed(desk):
    desk.post(patch_body(id="held"))
    desk.move("held", "held")
    answer = desk.get("/v1/patches/held?wait=20")
    assert (answer.status_code, answer.json["status"]) == (200, "held")


def test_a_wait_that_ends_without_an_outcome_is_answered_as_accepted(desk):
    began = time.monotonic()
    answer = desk.call("POST", "/webhook?wait=0.3", patch_body(id="slow"))
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert 0.3 <= time.monotonic() - began < 5


@pytest.mark.parametrize("wait", ["", "soon", "-1", "1e3", "٣", "²", "99999", "1;2", "nan"])
def test_a_nonsensical_wait_is_refused_and_nothing_recorded(desk, wait):
    problem(
        desk.call("POST", f"/webhook?{urlencode({'wait': wait})}", patch_body()), 400, "bad_wait"
    )
    assert desk.ids() == []


@pytest.mark.parametrize("wait", ["wait=", "wait=soon", "respond-async, wait=-1"])
def test_a_nonsensical_preference_is_refused_too(desk, wait):
    problem(desk.post(Prefer=wait), 400, "bad_wait")
    assert desk.ids() == []


def test_a_preference_for_something_else_is_no_wait(desk):
    assert desk.post(Prefer="await=forever, handling=lenient").status_code == 202


def test_when_too_many_wait_the_next_is_answered_at_once(desk):
    desk.post(patch_body(id="watched"))
    places = [
        desk.gateway.parts.long_poll.slots.acquire(blocking=False) for _ in range(MAX_WAITERS)
    ]
    assert all(places)
    began = time.monotonic()
    assert desk.get("/v1/patches/watched?wait=20").json["status"] == "queued"
    assert time.monotonic() - began < 2


def test_who_waits_is_answered_when_the_gateway_ends(desk):
    desk.post(patch_body(id="late"))
    threading.Timer(0.3, desk.gateway.leave).start()
    began = time.monotonic()
    assert desk.get("/v1/patches/late?wait=20").json["status"] == "queued"
    assert time.monotonic() - began < 5


def test_a_wait_gives_its_place_back_whatever_happens(desk):
    for _ in range(MAX_WAITERS + 1):
        problem(desk.get("/v1/patches/nobody?wait=0.01"), 404)
    desk.post(patch_body(id="someone"))
    for _ in range(MAX_WAITERS + 1):
        desk.get("/v1/patches/someone?wait=0.01")
    assert desk.gateway.parts.long_poll.slots.acquire(blocking=False)


def test_waiters_and_senders_together_leave_threads_for_health():
    assert PERMITS + MAX_WAITERS <= BLOCKING_THREADS - 8
