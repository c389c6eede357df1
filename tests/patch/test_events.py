import json
from typing import Any

import pytest

from gpt_cursor_runner.patch import events
from gpt_cursor_runner.patch.events import ENDINGS, EventKind, HunkPlace, Payload
from gpt_cursor_runner.patch.status import Status

SEALED = {"base": "b", "commit": "c", "tree": "t"}
CHECKED: dict[str, Any] = {
    "tree": "t",
    "sandbox_missing": None,
    "name": "tests",
    "command": ["make", "test"],
    "verdict": "failed",
    "exit_code": 2,
    "seconds": 1.5,
    "tier": "none",
    "output_bytes": 3,
    "output_sha256": "0",
    "tail": "no\n",
    "required": True,
    "limit": None,
    "tests": None,
}

# The members are an interface: they are stored, covered by the digest of the
# event, and clients read them.
JSON_OF: list[tuple[Payload, dict[str, Any]]] = [
    (
        events.Accepted("r", "d", "s"),
        {"request_id": "r", "digest": "d", "body_sha256": "s"},
    ),
    (
        events.Accepted("r", "d", "s", "pass", ("w",)),
        {"request_id": "r", "digest": "d", "body_sha256": "s", "health": "pass", "warnings": ["w"]},
    ),
    (events.Claimed(1, 2), {"attempt": 1, "token": 2}),
    (
        events.Planned("b", "d", ("a.py",), (HunkPlace("a.py", 7, "exact"),), "p"),
        {
            "base": "b",
            "plan_digest": "d",
            "files": ["a.py"],
            "hunks": [{"path": "a.py", "line": 7, "rung": "exact"}],
            "profile_digest": "p",
        },
    ),
    (events.Sealed("b", "c", "t"), SEALED),
    (events.Carried("b", "c", "t"), SEALED),
    (events.NotChecked("t", "no checks"), {"tree": "t", "reason": "no checks"}),
    (
        events.Prepared("t", ("make", "deps"), "l", 2.5),
        {"tree": "t", "command": ["make", "deps"], "layer": "l", "seconds": 2.5},
    ),
    (
        events.Compared("t", "tests", "passed", 0, 2.5, "well\n"),
        {
            "tree": "t",
            "name": "tests",
            "verdict": "passed",
            "exit_code": 0,
            "seconds": 2.5,
            "tail": "well\n",
            "tests": None,
        },
    ),
    (events.Checked(**{**CHECKED, "command": ("make", "test")}), CHECKED),
    (
        events.Landing("c", "p", "t", "s"),
        {"commit": "c", "parent": "p", "tree": "t", "subject": "s"},
    ),
    (events.BaseMoved("a", "b"), {"expected": "a", "found": "b"}),
    (events.NotMoved("a", "locked"), {"expected": "a", "reason": "locked"}),
    (events.LeaseReclaimed("ghost", 1), {"runner": "ghost", "attempt": 1}),
    (events.CancelRequested(), {}),
    (events.Approved("d"), {"digest": "d"}),
    (events.Retried(), {}),
    (
        events.Reported(Status.LANDED, "m", "j"),
        {"status": "landed", "markdown_sha256": "m", "json_sha256": "j"},
    ),
]
IDS = [f"{type(payload).__name__}-{number}" for number, (payload, _) in enumerate(JSON_OF)]


@pytest.mark.parametrize(("payload", "body"), JSON_OF, ids=IDS)
def test_a_payload_has_these_members_in_json(payload: Payload, body: dict[str, Any]):
    assert json.loads(json.dumps(payload.to_json())) == body


@pytest.mark.parametrize(("payload", "body"), JSON_OF, ids=IDS)
def test_a_payload_is_read_back_from_its_json(payload: Payload, body: dict[str, Any]):
    assert type(payload).from_json(body) == payload


@pytest.mark.parametrize(("payload", "body"), JSON_OF, ids=IDS)
def test_a_payload_of_an_old_ledger_may_lack_members_and_have_others(
    payload: Payload, body: dict[str, Any]
):
    assert type(payload).from_json({"of_another_version": 1}) == type(payload)()


def test_every_kind_of_event_has_a_payload_or_is_an_ending():
    kinds = [payload.kind for payload, _ in JSON_OF]
    assert {*kinds, *ENDINGS} == set(EventKind)
    assert ENDINGS.isdisjoint(kinds)
