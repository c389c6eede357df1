"""Admission lists every fault of a patch at once, each with its place in the
body as it was sent, and changes nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from gpt_cursor_runner.landing.git import Git
from tests.building import patch_body
from tests.gateway.builders import gateway_in, problem

STALE = (
    '--- a/greeting.py\n+++ b/greeting.py\n@@ -1,2 +1,2 @@\n def salute():\n-    return "hi"\n+   '
    ' return "ho"\n'
)


def faults_in(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {(error["pointer"], error["code"]) for error in body["errors"]}


def test_one_answer_lists_every_fault_and_nothing_changed(gateway):
    before = gateway.repo.state()
    body = {
        "id": "patch-v3.3.31(P8.13.23)_flask-health-endpoint-hardening",
        "changes": [
            {"type": "upsert", "path": "a.txt", "contents": 7},
            {"type": "rewrite", "path": "b.txt"},
            {"type": "unified_diff", "text": STALE},
        ],
    }
    refused = problem(gateway.post(body), 422, "invalid_patch")
    errors = {error["pointer"]: error for error in refused["errors"]}
    assert faults_in(refused) == {
        ("/title", "missing"),
        ("/changes/0/contents", "wrong_type"),
        ("/changes/1/type", "unknown_type"),
        ("/changes/2/text", "no_match"),
    }
    assert "Add 'title'." in errors["/title"]["hint"]
    assert "string" in errors["/changes/0/contents"]["message"]
    assert "upsert" in errors["/changes/1/type"]["hint"]
    assert errors["/changes/2/text"]["closest"]["first_difference"]["actual"] == "def greet():"
    assert refused["errors_total"] == 4
    assert (gateway.ids(), gateway.repo.state()) == ([], before)


def test_the_detail_has_the_first_fault_and_the_number_of_others(gateway):
    refused = problem(gateway.post({"id": "x", "changes": [{"type": "rewrite"}]}), 422)
    assert (
        refused["detail"].startswith("Nothing changed. /")
        and "(1 more in errors)" in refused["detail"]
    )


def test_a_refused_plan_lists_its_good_hunks(gateway):
    good = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# App\n+# Application\n"
    changes = [{"type": "unified_diff", "text": good}, {"type": "unified_diff", "text": STALE}]
    refused = problem(gateway.post(patch_body(changes=changes)), 422, "plan_refused")
    assert faults_in(refused) == {("/changes/1/text", "no_match")}
    assert [(hunk["change"], hunk["path"], hunk["line"]) for hunk in refused["good"]] == [
        (0, "README.md", 1)
    ]


@pytest.mark.parametrize(
    ("raw", "pointers"),
    [
        (
            {
                "id": "old-1",
                "target_file": "greeting.py",
                "patch": {"pattern": 5, "replacement": "x"},
            },
            {"/patch/pattern"},
        ),
        (
            {"id": "old-2", "patch": {"pattern": "h", "replacement": "x"}, "role": "r"},
            {"/target_file"},
        ),
        (
            {"id": "old-3", "patch": {"mutations": [{"path": "../up", "contents": "x"}]}},
            {"/patch/mutations/0/path"},
        ),
        ({"blockId": "no way", "mutations": [{"path": "a", "contents": "x"}]}, {"/blockId"}),
        ({"blockId": "b", "mutations": [{"op": "explode", "path": "a"}]}, {"/mutations/0/op"}),
        (
            {
                "id": "old-6",
                "target_file": "greeting.py",
                "patch": {"pattern": "nowhere", "replacement": "x"},
            },
            {"/patch/pattern"},
        ),
    ],
)
def test_faults_of_historical_shapes_point_into_the_body_as_sent(gateway, raw, pointers):
    refused = problem(gateway.post(raw), 422)
    assert {error["pointer"] for error in refused["errors"]} == pointers
    assert gateway.ids() == []


def test_historical_shapes_are_accepted_without_their_commands(gateway):
    raw = {
        "id": "old-good",
        "role": "greeter",
        "target_file": "greeting.py",
        "patch": {"pattern": '"hi"', "replacement": '"hello"'},
        "validate": {"shell": ["touch /tmp/never"]},
    }
    answer = gateway.post(raw)
    assert answer.status_code == 202
    assert any("never run" in warning for warning in answer.json["warnings"])


def test_an_unknown_repository_is_one_fault_that_lists_the_configured_ones(tmp_path):
    with gateway_in(tmp_path, ("app", "site")) as gateway:
        refused = problem(gateway.post(patch_body(repository="blog")), 422)
        assert faults_in(refused) == {("/repository", "unknown_repository")}
        assert "app, site" in refused["errors"][0]["hint"]
        assert faults_in(problem(gateway.post(patch_body()), 422)) == {("/repository", "missing")}
        assert faults_in(problem(gateway.post(patch_body(repository=5)), 422)) == {
            ("/repository", "wrong_type")
        }
        assert gateway.post(patch_body(repository="site")).status_code == 202


def test_a_patch_that_may_build_on_a_queued_one_is_planned_by_the_runner(gateway):
    assert gateway.post().status_code == 202
    assert (
        gateway.post(patch_body(changes=[{"type": "unified_diff", "text": STALE}])).status_code
        == 202
    )


def test_a_repository_in_trouble_refuses_no_patch(gateway):
    assert gateway.post(patch_body(id="before")).status_code == 202
    gateway.move("before", "cancelled")
    (gateway.repo.path / ".git").rename(gateway.repo.path / "gone")
    assert gateway.post().status_code == 202


def test_an_answer_with_many_faults_stays_small(gateway):
    many = [{"type": "x" * 6000} for _ in range(75)] + [
        {"type": "delete", "path": "a", "y" * 6000: 1}
    ] * 75
    answer = gateway.post(patch_body(changes=many))
    refused = problem(answer, 422)
    assert (len(refused["errors"]), refused["errors_total"]) == (20, 150)
    assert len(answer.data) < 100_000


def test_the_git_directory_is_looked_up_once_per_repository(gateway, monkeypatch):
    looked_up, really = [], Git.at

    def counted(path, search_path):
        looked_up.append(path)
        return really(path, search_path)

    monkeypatch.setattr(Git, "at", counted)
    for number in range(3):
        gateway.post(patch_body(id=f"one-{number}"))
        gateway.move(f"one-{number}", "landed")
    assert len(looked_up) == 1
