"""Reading what became of a patch, and deciding about it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from gpt_cursor_runner.ledger.evidence import Evidence
from tests.building import patch_body
from tests.gateway.builders import problem

ODD = ["patch-v3.3.31(P8.13.23)_x", "a+b", "A.b-c_d", "(x)".join(["1", "2"]), "9" * 128]


@pytest.mark.parametrize("patch_id", ODD)
@pytest.mark.parametrize("spelt", [str, quote], ids=["as it is", "quoted"])
def test_an_id_with_unusual_characters_can_be_requested(gateway, patch_id, spelt):
    answer = gateway.post(patch_body(id=patch_id))
    assert answer.headers["Location"] == f"/v1/patches/{patch_id}"
    assert gateway.get(f"/v1/patches/{spelt(patch_id)}").json["patch_id"] == patch_id
    assert gateway.get(f"/v1/patches/{spelt(patch_id)}/log").json["patch_id"] == patch_id


@pytest.mark.parametrize(
    "patch_id", ["nobody", "..", "a b", "%2e%2e%2fetc", "x" * 129, ".hidden", "a%00b", "%ff"]
)
@pytest.mark.parametrize("what", ["", "/diff", "/log", "/report"])
def test_an_unknown_patch_is_404(shared_gateway, patch_id, what):
    problem(shared_gateway.get(f"/v1/patches/{patch_id}{what}"), 404)


def test_a_page_follows_another_to_the_last(gateway):
    for number in range(7):
        gateway.post(patch_body(id=f"p{number}"))
    listed, cursor = [], ""
    while True:
        page = gateway.get(f"/v1/patches?limit=3{cursor}").json
        listed += [patch["patch_id"] for patch in page["patches"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert listed == [f"p{number}" for number in reversed(range(7))]


def test_a_limit_beyond_the_largest_page_still_leads_to_the_next_page(gateway, monkeypatch):
    monkeypatch.setattr("gpt_cursor_runner.gateway.patches._MAX_PAGE", 2)
    for number in range(3):
        gateway.post(patch_body(id=f"p{number}"))
    page = gateway.get("/v1/patches?limit=500").json
    assert (len(page["patches"]), page["cursor"] is not None) == (2, True)
    assert len(gateway.get(f"/v1/patches?limit=500&cursor={page['cursor']}").json["patches"]) == 1


def test_the_list_is_narrowed_by_state_and_repository(gateway):
    gateway.post(patch_body(id="a"))
    gateway.move("a", "landed")
    gateway.post(patch_body(id="b"))
    assert [
        patch["patch_id"] for patch in gateway.get("/v1/patches?status=landed").json["patches"]
    ] == ["a"]
    assert len(gateway.get("/v1/patches?repository=app").json["patches"]) == 2
    assert gateway.get("/v1/patches?repository=other").json == {"patches": [], "cursor": None}
    problem(gateway.get("/v1/patches?status=lost"), 400, "bad_status")


def test_missing_evidence_is_404_until_it_is_written(gateway):
    gateway.post(patch_body(id="p"))
    problem(gateway.get("/v1/patches/p/diff"), 404, "no_diff")
    problem(gateway.get("/v1/patches/p/report"), 404, "no_report")
    evidence = Evidence(gateway.state_dir / "patches" / "p")
    evidence.keep_diff(b"--- a/x\r\n+\xff\n")
    evidence.keep_report(b"# Report\n", b'{"status": "landed"}', b"{}")
    evidence.check_log(1, "tests").parent.mkdir()
    evidence.check_log(1, "tests").write_bytes(b"ok\n")
    diff = gateway.get("/v1/patches/p/diff")
    assert diff.data == b"--- a/x\r\n+\xff\n"
    assert (diff.content_type, diff.headers["X-Content-Type-Options"]) == (
        "text/x-diff; charset=utf-8",
        "nosniff",
    )
    assert gateway.get("/v1/patches/p/report").data == b"# Report\n"
    assert gateway.get("/v1/patches/p/report", Accept="application/json").json == {
        "status": "landed"
    }
    assert gateway.get("/v1/patches/p/report?format=json").json == {"status": "landed"}
    log = gateway.get("/v1/patches/p/log").json
    assert (log["checks"], [event["kind"] for event in log["events"]]) == (
        {"01-tests": "ok\n"},
        ["accepted"],
    )


DECISIONS = [
    ("queued", "cancel", "cancelled"),
    ("held", "approve", "queued"),
    ("held", "reject", "rejected"),
    ("held", "retry", "queued"),
    ("failed", "retry", "queued"),
    ("queued", "approve", None),
    ("landed", "cancel", None),
    ("landed", "retry", None),
    ("rejected", "approve", None),
    ("failed", "reject", None),
]


@pytest.mark.parametrize(("status", "decision", "becomes"), DECISIONS)
def test_a_decision_moves_the_patch_or_is_409(gateway, status, decision, becomes):
    gateway.post(patch_body(id="p"))
    gateway.move("p", status)
    answer = gateway.call("POST", f"/v1/patches/p/{decision}")
    if becomes is None:
        assert status in problem(answer, 409, "illegal_move")["detail"]
        assert gateway.ledger.queries.get("p").status == status
    else:
        assert (answer.status_code, answer.json["status"]) == (200, becomes)
        assert gateway.ledger.queries.events("p")[-1].actor == "key all"


@pytest.mark.parametrize("how", ["body", "query"])
def test_the_reason_of_a_rejection_is_kept(gateway, how):
    gateway.post(patch_body(id="p"))
    gateway.move("p", "held")
    path, body = ("/v1/patches/p/reject", {"reason": "not now"})
    gateway.call("POST", path, body) if how == "body" else gateway.call(
        "POST", path + "?reason=not%20now"
    )
    assert gateway.ledger.queries.get("p").outcome["message"] == "not now"


def test_a_sender_cancels_its_own_patches_only(gateway):
    gateway.post(patch_body(id="mine"), key="submit")
    gateway.post(patch_body(id="theirs"), key="all")
    problem(gateway.call("POST", "/v1/patches/theirs/cancel", key="submit"), 403, "not_yours")
    assert (
        gateway.call("POST", "/v1/patches/mine/cancel", key="submit").json["status"] == "cancelled"
    )
    assert gateway.ledger.queries.get("theirs").status == "queued"


@pytest.mark.parametrize("path", ["cancel", "approve", "reject", "retry"])
def test_a_decision_on_no_patch_is_404_and_needs_post(shared_gateway, path):
    problem(shared_gateway.call("POST", f"/v1/patches/nobody/{path}"), 404)
    problem(shared_gateway.get(f"/v1/patches/nobody/{path}"), 405)
