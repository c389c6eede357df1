"""The texts of alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpt_cursor_runner.alerts import messages
from gpt_cursor_runner.alerts.messages import AlertContext, alert_body
from gpt_cursor_runner.ledger.alerts import Incident

T = 1_800_000_000.0
DOCUMENT = Path(__file__).parents[2] / "docs/health.md"


def body(kind: str, subject: str = "queue", status: str = "fail", **others: str) -> dict[str, str]:
    context = AlertContext(
        kind=kind,
        component=subject,
        severity="critical",
        status=status,
        code=others.get("code", "locked"),
        overall="unknown",
        at=T + 7500,
    )
    incident = Incident("i1", subject, "critical", "locked", T, T)
    return dict(alert_body("key", incident, context, "instance-1"))


@pytest.mark.parametrize(
    ("kind", "others", "title"),
    [
        ("trigger", {}, "critical: queue fails (locked)"),
        ("trigger", {"status": "warn"}, "critical: queue has a warning (locked)"),
        ("trigger", {"status": "unknown"}, "critical: queue cannot be verified (locked)"),
        ("trigger", {"status": "error"}, "critical: queue is not ok (locked)"),
        ("reminder", {}, "still critical: queue fails (locked), for 2 h"),
        ("flapping", {}, "critical: queue keeps changing between ok and not ok"),
        ("resolve", {"status": "ok", "code": "ok"}, "resolved: queue is ok, after 2 h"),
        ("resolve", {"code": "removed"}, "resolved: queue is no longer configured, after 2 h"),
    ],
)
def test_the_title_states_the_trouble(kind, others, title):
    assert body(kind, **others)["title"] == title


def test_the_next_step_is_that_of_the_subject_before_that_of_the_code():
    assert "gcr runner" in body("trigger", "runner", code="down")["next_step"]
    assert "ledger.sqlite3" in body("trigger", code="locked")["next_step"]
    assert "gcr status" in body("trigger", "own_raid", code="critical")["next_step"]
    assert body("resolve", code="ok")["next_step"] == "None: the incident is over."


def test_every_code_with_a_next_step_is_a_code_of_a_check():
    reasons = re.findall(r"`([a-z_]+\.[a-z_]+)`", DOCUMENT.read_text())
    codes = {reason.partition(".")[2] for reason in reasons}
    assert set(messages._NEXT_STEPS) <= {*reasons, *codes}
