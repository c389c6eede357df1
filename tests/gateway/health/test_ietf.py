"""The shape of draft-inadarei-api-health-check-06, held against a schema of the
draft's own words.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from gpt_cursor_runner.gateway.health.ietf import ietf_body
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import Criticality, Identity, Snapshot, Status
from tests.health.builders import NOW, SPACE, check, gateway_checks, snapshot

ME = Identity("instance-1", 5555, "3.1.1")
DOWN = check("runner", Status.FAIL, Criticality.IMPAIRING, code="down")

STATUSES = {"pass", "fail", "warn"}
# Sections 3 and 4 of the draft: every member it knows, and what it must be.
TOP = {
    "status": lambda value: value in STATUSES,
    "version": lambda value: isinstance(value, str),
    "releaseId": lambda value: isinstance(value, str),
    "notes": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "output": lambda value: isinstance(value, str),
    "checks": lambda value: isinstance(value, dict),
    "links": lambda value: isinstance(value, dict),
    "serviceId": lambda value: isinstance(value, str),
    "description": lambda value: isinstance(value, str),
}
CHECK = {
    "componentId": lambda value: isinstance(value, str),
    "componentType": lambda value: value in {"component", "datastore", "system"},
    "observedValue": lambda value: value is not None,
    "observedUnit": lambda value: isinstance(value, str),
    "status": lambda value: value in STATUSES,
    "affectedEndpoints": lambda value: isinstance(value, list),
    "time": lambda value: datetime.fromisoformat(value).tzinfo is not None,
    "output": lambda value: isinstance(value, str),
    "links": lambda value: isinstance(value, dict),
}


def faults(body: dict[str, Any]) -> list[str]:
    """Where a body is not as the draft wants it."""
    found = [f"/{name}" for name, value in body.items() if name not in TOP or not TOP[name](value)]
    found += [] if "status" in body else ["/status"]
    found += ["/output"] if body.get("status") == "pass" and "output" in body else []
    for key, entries in body.get("checks", {}).items():
        component, _, measured = key.partition(":")
        found += [] if component and measured and ":" not in measured else [f"/checks/{key}"]
        found += [] if isinstance(entries, list) and entries else [f"/checks/{key}"]
        for one in entries:
            found += [
                f"/checks/{key}/{name}"
                for name, value in one.items()
                if name not in CHECK or not CHECK[name](value)
            ]
            found += (
                [f"/checks/{key}/output"] if one.get("status") == "pass" and "output" in one else []
            )
    return found


def draft(seen: Snapshot, now: float = NOW) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(ietf_body(seen, judge(seen, now), ME, now)))
    return body


@pytest.mark.parametrize(
    "seen",
    [
        snapshot(*gateway_checks()),
        snapshot(*gateway_checks(runner=DOWN)),
        snapshot(
            *gateway_checks(queue=check("queue", None), filesystem=check("filesystem", Status.FAIL))
        ),
        snapshot(*gateway_checks(), draining=True),
        snapshot(),
    ],
    ids=["healthy", "degraded", "unknown", "draining", "nothing"],
)
@pytest.mark.parametrize("later", [0, 60])
def test_every_answer_is_as_the_draft_wants_it(seen, later):
    assert faults(draft(seen, NOW + later)) == []


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"status": "good"}, "/status"),
        ({"status": "pass", "output": "all is well"}, "/output"),
        ({"status": "pass", "state": "up"}, "/state"),
        ({"status": "pass", "notes": "one"}, "/notes"),
        ({"status": "pass", "checks": {"cpu": [{}]}}, "/checks/cpu"),
        (
            {"status": "pass", "checks": {"cpu:utilization": [{"time": "2026-01-01T00:00:00"}]}},
            "/checks/cpu:utilization/time",
        ),
    ],
)
def test_what_the_draft_does_not_allow_is_found(wrong, where):
    assert faults(wrong) == [where]


def test_each_check_has_its_own_time_and_says_what_is_wrong_only_when_something_is():
    seen = snapshot(
        *gateway_checks(runner=DOWN, queue=check("queue", Status.WARN, code="backlog", age=2.0))
    )
    body = draft(seen)
    assert (body["status"], body["output"]) == ("warn", "runner.down, queue.backlog")
    assert body["notes"] == ["overall_status: degraded", "ready: true"]
    (queue,), (web,) = body["checks"]["queue:status"], body["checks"]["web:status"]
    assert (queue["status"], queue["output"], queue["componentType"]) == (
        "warn",
        "backlog",
        "datastore",
    )
    assert (queue["time"], web["time"]) == (
        "2027-01-15T07:59:58.000000+00:00",
        "2027-01-15T07:59:59.900000+00:00",
    )
    assert "output" not in web


def test_the_machines_figures_have_units():
    checks = draft(
        snapshot(*gateway_checks(filesystem=check("filesystem", result={"data": SPACE})))
    )["checks"]
    shown = {
        name: (one["observedValue"], one["observedUnit"])
        for name, (one,) in checks.items()
        if "utilization" in name
    }
    assert shown == {
        "cpu:utilization": (16.8, "percent"),
        "memory:utilization": (39.7, "percent"),
        "disk:utilization": (10.0, "percent"),
    }


def test_a_figure_that_is_not_known_is_not_there():
    assert "disk:utilization" not in draft(snapshot(check("web")))["checks"]
