"""The body after draft-inadarei-api-health-check-06, compared with a schema of
its text.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from gpt_cursor_runner.gateway.health.ietf import ietf_body
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, Identity, Snapshot
from tests.health.builders import NOW, SPACE, check, gateway_checks, snapshot

ME = Identity("instance-1", 5555, "3.1.1")
DOWN = check("runner", CheckStatus.FAIL, Criticality.IMPAIRING, code="down")

STATUSES = {"pass", "fail", "warn"}
# Sections 3 and 4 of the draft: every member, and a test of its value.
TOP = {
    "status": lambda value: value in STATUSES,
    "version": lambda value: isinstance(value, str),
    "releaseId": lambda value: isinstance(value, str),
    "notes": lambda value: isinstance(value, list) and all(isinstance(note, str) for note in value),
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
    """The pointers of the members that the draft does not allow."""
    pointers = [f"/{name}" for name in bad_members(body, TOP)]
    if "status" not in body:
        pointers.append("/status")
    for key, entries in body.get("checks", {}).items():
        component, _, measured = key.partition(":")
        is_a_key = component and measured and ":" not in measured
        if not is_a_key or not isinstance(entries, list) or not entries:
            pointers.append(f"/checks/{key}")
        for entry in entries:
            pointers += [f"/checks/{key}/{name}" for name in bad_members(entry, CHECK)]
    return pointers


def bad_members(members: dict[str, Any], schema: dict[str, Callable[[Any], bool]]) -> list[str]:
    names = [
        name for name, value in members.items() if name not in schema or not schema[name](value)
    ]
    if members.get("status") == "pass" and "output" in members:
        names.append("output")
    return names


def draft(current: Snapshot, now: float = NOW) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(ietf_body(current, judge(current, now), ME, now)))
    return body


@pytest.mark.parametrize(
    "current",
    [
        snapshot(*gateway_checks()),
        snapshot(*gateway_checks(runner=DOWN)),
        snapshot(
            *gateway_checks(
                queue=check("queue", None), filesystem=check("filesystem", CheckStatus.FAIL)
            )
        ),
        snapshot(*gateway_checks(), draining=True),
        snapshot(),
    ],
    ids=["healthy", "degraded", "unknown", "draining", "nothing"],
)
@pytest.mark.parametrize("later", [0, 60])
def test_every_answer_conforms_to_the_draft(current, later):
    assert faults(draft(current, NOW + later)) == []


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
def test_the_schema_rejects_what_the_draft_does_not_allow(wrong, where):
    assert faults(wrong) == [where]


def test_each_check_has_its_own_time_and_an_output_only_when_it_is_not_ok():
    current = snapshot(
        *gateway_checks(
            runner=DOWN, queue=check("queue", CheckStatus.WARN, code="backlog", age=2.0)
        )
    )
    body = draft(current)
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
        name: (figure["observedValue"], figure["observedUnit"])
        for name, (figure,) in checks.items()
        if "utilization" in name
    }
    assert shown == {
        "cpu:utilization": (16.8, "percent"),
        "memory:utilization": (39.7, "percent"),
        "disk:utilization": (10.0, "percent"),
    }


def test_an_unknown_figure_is_omitted():
    assert "disk:utilization" not in draft(snapshot(check("web")))["checks"]
