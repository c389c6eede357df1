import json
from typing import Any

import pytest

from gpt_cursor_runner.patch.events import EventKind, Landing
from gpt_cursor_runner.patch.faults import (
    ApprovalRule,
    CheckoutInUse,
    Fault,
    HumanNeeded,
    PatchRefused,
    PlacedHunk,
)
from gpt_cursor_runner.patch.landed import DiffSummary, Landed, Previewed, Push
from gpt_cursor_runner.patch.outcome import (
    Cancelled,
    Failed,
    Held,
    Interrupted,
    Outcome,
    Rejected,
    RejectedByOwner,
    Requeued,
    read_outcome,
)
from gpt_cursor_runner.patch.status import Status

LANDING = Landing("c", "p", "t", "[PATCH] x")
LANDING_JSON = {"commit": "c", "parent": "p", "tree": "t", "subject": "[PATCH] x"}
CHANGE = DiffSummary(("a.py",), 1, 2, 3)
CHANGE_JSON = {"files": ["a.py"], "files_changed": 1, "insertions": 2, "deletions": 3}
REASON_JSON = {"code": "git_failed", "message": "m", "next_step": "n"}

# The members are an interface: they are stored, and clients read them.
JSON_OF: list[tuple[Outcome, dict[str, Any]]] = [
    (
        Landed(
            "main",
            LANDING,
            checkout="/app",
            change=CHANGE,
            tag="patch-a",
            push=Push("origin", pushed=True),
        ),
        {
            "code": "landed",
            "branch": "main",
            **LANDING_JSON,
            "checkout": "/app",
            **CHANGE_JSON,
            "tag": "patch-a",
            "push": {"remote": "origin", "pushed": True},
        },
    ),
    (
        Landed(
            "main",
            LANDING,
            change_unknown="git died",
            tag_taken="patch-a",
            push=Push("origin", pushed=False, reason="no answer"),
        ),
        {
            "code": "landed",
            "branch": "main",
            **LANDING_JSON,
            "checkout": None,
            "change_unknown": "git died",
            "tag_taken": "patch-a",
            "push": {"remote": "origin", "pushed": False, "reason": "no answer"},
        },
    ),
    (
        Landed("main", LANDING, checkout_observed=False, change=CHANGE, tag_failed="no room"),
        {
            "code": "landed",
            "branch": "main",
            **LANDING_JSON,
            **CHANGE_JSON,
            "tag_failed": "no room",
        },
    ),
    (Previewed(CHANGE), {"code": "previewed", **CHANGE_JSON}),
    (Held("stop", "m", "n"), {"code": "stop", "message": "m", "next_step": "n"}),
    (
        Held("needs_approval", "m", "n", ApprovalRule(())),
        {"code": "needs_approval", "message": "m", "next_step": "n", "protected_paths": []},
    ),
    (
        Held("branch_in_use", "m", "n", CheckoutInUse("/app")),
        {"code": "branch_in_use", "message": "m", "next_step": "n", "checkout": "/app"},
    ),
    (
        Held("checkout_in_the_way", "m", "n", CheckoutInUse("/app", "error: …", "c")),
        {
            "code": "checkout_in_the_way",
            "message": "m",
            "next_step": "n",
            "checkout": "/app",
            "git_said": "error: …",
            "branch_at": "c",
        },
    ),
    (
        Rejected(
            "plan_refused",
            (Fault("no_match", "m", "n"),),
            (PlacedHunk(0, 1, "a.py", 7, "exact"),),
            "b",
        ),
        {
            "code": "plan_refused",
            "base": "b",
            "errors": [
                {"pointer": "", "code": "no_match", "message": "m", "next_step": "n", "hint": "n"}
            ],
            "good": [
                {
                    "change": 0,
                    "hunk": 1,
                    "path": "a.py",
                    "line": 7,
                    "rung": "exact",
                    "similarity": 1.0,
                }
            ],
        },
    ),
    (Rejected("checks_failed", ()), {"code": "checks_failed", "errors": [], "good": []}),
    (RejectedByOwner("Not now"), {"code": "rejected_by_owner", "message": "Not now"}),
    (Failed("git_failed", "m", "n"), REASON_JSON),
    (Requeued("git_failed", "m", "n"), REASON_JSON),
    (Interrupted(), {"code": "runner_stopped"}),
    (
        Cancelled.while_running("Ann"),
        {"code": "cancelled", "message": "cancelled by Ann while it ran"},
    ),
    (
        Cancelled.before_running("Ann"),
        {"code": "cancelled", "message": "cancelled by Ann before it ran"},
    ),
]
IDS = [f"{type(outcome).__name__}-{number}" for number, (outcome, _) in enumerate(JSON_OF)]


@pytest.mark.parametrize(("outcome", "body"), JSON_OF, ids=IDS)
def test_an_outcome_has_these_members_in_json(outcome: Outcome, body: dict[str, Any]):
    stored = json.loads(json.dumps(outcome.to_json()))
    assert stored == body
    assert list(stored) == list(body)


@pytest.mark.parametrize(("outcome", "body"), JSON_OF, ids=IDS)
def test_an_outcome_is_read_back_from_its_json(outcome: Outcome, body: dict[str, Any]):
    assert read_outcome(outcome.status, body) == outcome


@pytest.mark.parametrize("status", Status)
def test_an_outcome_that_an_old_ledger_stored_may_lack_members(status: Status):
    assert isinstance(read_outcome(status, {}), Outcome)


def test_an_approved_patch_keeps_the_reason_why_it_was_held():
    held = Held("needs_approval", "m", "n", ApprovalRule(("Makefile",))).to_json()
    assert read_outcome(Status.QUEUED, held) == Requeued("needs_approval", "m", "n")


@pytest.mark.parametrize(("outcome", "body"), JSON_OF, ids=IDS)
def test_the_event_of_an_ending_is_its_status_unless_the_patch_is_queued_again(
    outcome: Outcome, body: dict[str, Any]
):
    if outcome.status is Status.QUEUED:
        assert outcome.kind is EventKind.REQUEUED
    else:
        assert outcome.kind == outcome.status.value


def test_outcomes_are_made_from_the_exceptions():
    faults = [Fault("no_match", "m", "n")]
    refused = PatchRefused(faults, [PlacedHunk(0, 1, "a.py", 7, "exact")])
    assert Rejected.of(refused) == Rejected("plan_refused", tuple(faults), refused.good)
    needed = HumanNeeded("needs_approval", "m", "n", ApprovalRule(("Makefile",)))
    assert Held.of(needed) == Held("needs_approval", "m", "n", ApprovalRule(("Makefile",)))
