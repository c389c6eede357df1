from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gpt_cursor_runner.alerts.incidents import REMOVED, AlertPolicy, TrackedStates, compare
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import CheckState, CheckStatus, Criticality
from gpt_cursor_runner.ledger.alerts import Alert, HistoryBatch, Incident
from tests.health.builders import NOW, check, make_spec, snapshot

OK, WARN, FAIL, UNKNOWN = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL, CheckStatus.UNKNOWN
IMPAIRING = Criticality.IMPAIRING
T = 1_800_000_000.0
POLICY, NOTHING = AlertPolicy(("webhook",), "me"), TrackedStates()


@dataclass
class Story:
    """Verdict after verdict, with the tracked states carried along."""

    policy: AlertPolicy = POLICY
    tracked: TrackedStates = NOTHING
    ids: Iterator[str] = field(
        default_factory=lambda: map("incident-{}".format, itertools.count(1))
    )
    batches: list[HistoryBatch] = field(default_factory=list)

    def at(
        self, seconds: float, *checks: CheckState, dead: bool = False, **how: Any
    ) -> HistoryBatch:
        verdict = judge(snapshot(*checks), NOW + 60 if dead else NOW)
        self.tracked, batch = compare(
            self.tracked, verdict, T + seconds, lambda: next(self.ids), self.policy, **how
        )
        self.batches.append(batch)
        return batch

    def restart(self) -> None:
        """Keep only what the ledger stores."""
        self.tracked = TrackedStates(self.tracked.last, self.tracked.open)

    def alerts(self) -> list[tuple[str, str]]:
        """Kind and subject of the alerts that are sent in the end."""
        alerts: list[Alert] = []
        for batch in self.batches:
            alerts += batch.alerts
            alerts = [alert for alert in alerts if not is_withdrawn(alert, batch)]
        return [(alert.kind, alert.subject) for alert in alerts]


def is_withdrawn(alert: Alert, batch: HistoryBatch) -> bool:
    return alert.kind == "trigger" and batch.muted.get(alert.incident_id) is not None


def flips(batch: HistoryBatch) -> list[tuple[str, str, str]]:
    return [
        (flip.subject, flip.status, flip.code) for flip in batch.flips if flip.subject != "overall"
    ]


def well(name: str = "part", **others: Any) -> CheckState:
    return check(name, OK, code="well", **others)


def bad(name: str = "part", status: CheckStatus = FAIL, **others: Any) -> CheckState:
    return check(name, status, **({"code": "broken"} | others))


def caused(name: str, status: CheckStatus, *causes: str, **others: Any) -> CheckState:
    """Broken or well, with its causes; a second between two runs, as its causes
    have.
    """
    return check(
        name,
        status,
        code="well" if status is OK else "broken",
        spec=make_spec(name, caused_by=causes, **others),
    )


def test_a_change_is_one_flip_with_the_state_before():
    story = Story()
    assert flips(story.at(0, well())) == [("part", "ok", "well")]
    assert story.at(1, well()).flips == ()
    batch = story.at(2, bad())
    flip = next(flip for flip in batch.flips if flip.subject == "part")
    assert (flip.status, flip.code, flip.before_status, flip.before_code) == (
        "fail",
        "broken",
        "ok",
        "well",
    )
    assert (flip.at, flip.instance_id, flip.incident_id) == (T + 2, "me", "incident-1")
    assert story.at(3, bad()).flips == ()


def test_another_code_is_a_flip_in_trouble_and_none_while_ok():
    story = Story()
    story.at(0, well())
    assert flips(story.at(1, check(code="other"))) == []
    story.at(2, bad())
    assert flips(story.at(3, bad(code="worse"))) == [("part", "fail", "worse")]


def test_overall_has_flips_of_its_own():
    story = Story()
    story.at(0, well())
    assert [
        (flip.status, flip.code) for flip in story.at(1, bad()).flips if flip.subject == "overall"
    ] == [("unknown", "part.broken")]


@pytest.mark.parametrize(
    ("criticality", "status", "severity"),
    [
        (Criticality.CRITICAL, FAIL, "critical"),
        (Criticality.CRITICAL, UNKNOWN, "critical"),
        (Criticality.CRITICAL, WARN, "warning"),
        (IMPAIRING, FAIL, "warning"),
        (IMPAIRING, UNKNOWN, "warning"),
        (IMPAIRING, WARN, "warning"),
    ],
)
def test_an_incident_is_critical_when_a_critical_part_is_not_proven(criticality, status, severity):
    batch = Story().at(0, bad(status=status, criticality=criticality))
    assert [(incident.subject, incident.severity, incident.code) for incident in batch.opened] == [
        ("part", severity, "broken")
    ]


def test_an_incident_opens_with_a_held_alert_and_closes_with_another():
    story = Story()
    story.at(0, well())
    (alert,) = story.at(1, bad()).alerts
    assert (alert.kind, alert.incident_id, alert.created_at, alert.not_before) == (
        "trigger",
        "incident-1",
        T + 1,
        T + 7,
    )
    batch = story.at(60, well())
    assert (batch.closed, batch.closed_at, [alert.kind for alert in batch.alerts]) == (
        ("incident-1",),
        T + 60,
        ["resolve"],
    )
    assert story.tracked.open == {}


def test_every_sink_gets_an_alert_with_a_key_of_its_own():
    alerts = Story(AlertPolicy(("webhook", "apprise-1"), "me")).at(0, bad()).alerts
    assert [alert.sink for alert in alerts] == ["webhook", "apprise-1"]
    assert len({alert.key for alert in alerts}) == 2
    assert all(len(alert.key) <= 100 and alert.body["key"] == alert.key for alert in alerts)


def test_trouble_that_ends_before_its_alert_is_sent_sends_none():
    story = Story()
    story.at(0, bad())
    batch = story.at(2, well())
    assert (batch.closed, dict(batch.muted), batch.alerts) == (
        ("incident-1",),
        {"incident-1": "passed"},
        (),
    )


def test_an_alert_that_is_written_late_is_not_withdrawn():
    story = Story()
    story.at(0, bad())
    assert [alert.kind for alert in story.at(2, well(), may_withdraw=False).alerts] == ["resolve"]


def test_an_alert_that_may_be_sent_already_is_not_withdrawn():
    story = Story()
    story.at(0, bad())
    assert [alert.kind for alert in story.at(4, well()).alerts] == ["resolve"]


def test_a_check_that_is_starting_opens_and_closes_no_incident():
    story = Story()
    starting = bad(status=UNKNOWN, code="starting")
    assert story.at(0, starting).opened == ()
    assert flips(story.batches[-1]) == [("part", "unknown", "starting")]
    story.at(10, bad())
    assert story.at(20, starting).closed == ()
    assert story.at(30, bad()).opened == ()


def test_a_warning_that_becomes_critical_is_alerted_again_as_the_same_incident():
    story = Story()
    story.at(0, bad(status=WARN))
    batch = story.at(10, bad())
    assert [(alert.kind, alert.incident_id, alert.body["severity"]) for alert in batch.alerts] == [
        ("trigger", "incident-1", "critical")
    ]
    assert dict(batch.escalated) == {"incident-1": "critical"}
    story.restart()
    assert story.at(11, bad()).alerts == ()


def test_a_failing_cause_mutes_the_checks_that_it_makes_fail():
    story = Story()
    batch = story.at(0, bad("disk"), caused("queue", FAIL, "disk"))
    assert {incident.subject: incident.muted_by for incident in batch.opened} == {
        "disk": None,
        "queue": "disk",
    }
    assert [alert.subject for alert in batch.alerts] == ["disk"]
    story.at(30, well("disk"), caused("queue", OK, "disk"))
    assert story.alerts() == [("trigger", "disk"), ("resolve", "disk")]


def test_a_cause_that_is_detected_a_moment_later_still_mutes():
    story = Story()
    story.at(0, well("disk"), caused("queue", FAIL, "disk"))
    batch = story.at(2, bad("disk"), caused("queue", FAIL, "disk"))
    assert dict(batch.muted) == {"incident-1": "disk"}
    story.at(30, well("disk"), caused("queue", OK, "disk"))
    assert story.alerts() == [("trigger", "disk"), ("resolve", "disk")]


def test_the_hold_includes_the_interval_of_the_cause():
    disk = check("disk", spec=make_spec("disk", interval_seconds=10.0))
    (alert,) = Story().at(0, disk, caused("queue", FAIL, "disk")).alerts
    assert alert.not_before == T + 16


def test_a_check_still_in_trouble_after_its_cause_recovered_is_alerted_after_its_time():
    story = Story()
    story.at(0, bad("disk"), caused("queue", FAIL, "disk"))
    assert [
        alert.kind for alert in story.at(60, well("disk"), caused("queue", FAIL, "disk")).alerts
    ] == ["resolve"]
    assert story.at(62, well("disk"), caused("queue", FAIL, "disk")).alerts == ()
    batch = story.at(63, well("disk"), caused("queue", FAIL, "disk"))
    assert [(alert.kind, alert.subject) for alert in batch.alerts] == [("trigger", "queue")]
    assert dict(batch.muted) == {"incident-2": None}
    assert [
        alert.kind for alert in story.at(90, well("disk"), caused("queue", OK, "disk")).alerts
    ] == ["resolve"]


@pytest.mark.parametrize(
    "cause",
    [
        bad("disk", status=WARN),
        bad("disk", criticality=IMPAIRING),
        bad("disk", status=UNKNOWN, code="starting"),
    ],
    ids=["works", "less severe", "starting"],
)
def test_a_cause_that_works_or_is_less_severe_does_not_mute_a_critical_check(cause):
    assert "queue" in [
        alert.subject for alert in Story().at(0, cause, caused("queue", FAIL, "disk")).alerts
    ]


def test_a_dead_monitor_is_one_alert_and_not_one_for_every_check():
    story = Story()
    story.at(0, well("a"), well("b"))
    batch = story.at(1, well("a"), well("b"), dead=True)
    assert {incident.subject: incident.muted_by for incident in batch.opened} == {
        "overall": None,
        "a": "overall",
        "b": "overall",
    }
    assert [(alert.subject, alert.body["code"]) for alert in batch.alerts] == [
        ("overall", "health_engine.stale")
    ]
    assert story.at(60, well("a"), well("b")).closed != ()
    assert story.alerts() == [("trigger", "overall"), ("resolve", "overall")]


def test_a_flapping_check_is_one_alert_and_one_at_its_end():
    story = Story()
    story.at(0, well())
    for second in range(1, 30):
        story.at(second, bad(flapping=True) if second % 2 else check(flapping=True))
    assert story.alerts() == [("flapping", "part")]
    story.at(40, well())
    assert story.alerts() == [("flapping", "part"), ("resolve", "part")]


def test_a_check_in_trouble_that_begins_to_flap_is_alerted_once():
    story = Story()
    story.at(0, bad())
    story.at(10, bad(flapping=True))
    story.at(11, bad(flapping=True))
    story.at(20, bad())
    assert story.alerts() == [("trigger", "part"), ("flapping", "part")]


def test_reminders_are_sent_as_configured_and_not_for_muted_incidents():
    story = Story()
    for hour in range(13):
        story.at(3600 * hour, bad("disk"), caused("queue", FAIL, "disk"))
    assert story.alerts() == [("trigger", "disk"), *[("reminder", "disk")] * 3]
    assert len({alert.key for batch in story.batches for alert in batch.alerts}) == 4
    never = Story(replace(POLICY, remind_seconds=0))
    never.at(0, bad())
    assert never.at(10**6, bad()).alerts == ()


def test_no_alert_is_sent_below_the_minimum_severity():
    story = Story(AlertPolicy(("webhook",), "me", minimum_severity="critical"))
    story.at(0, bad(status=WARN))
    story.at(100_000, bad(status=WARN))
    assert story.alerts() == []
    story.at(100_001, bad())
    story.at(100_060, well())
    assert story.alerts() == [("trigger", "part"), ("resolve", "part")]


def test_the_incident_of_a_check_that_is_no_longer_configured_is_closed():
    story = Story()
    story.at(0, well("kept"), bad())
    batch = story.at(60, well("kept"))
    assert (batch.closed, flips(batch)) == (("incident-1",), [("part", "unknown", REMOVED)])
    assert [(alert.kind, alert.body["code"]) for alert in batch.alerts] == [("resolve", REMOVED)]
    assert story.at(61, well("kept")).flips == ()


def test_after_a_restart_ended_incidents_are_resolved_and_open_ones_not_repeated():
    story = Story()
    story.at(0, bad("a"), bad("b"))
    story.restart()
    story.at(60, check("a", None), check("b", None))
    story.at(61, well("a"), bad("b"))
    assert story.alerts() == [("trigger", "a"), ("trigger", "b"), ("resolve", "a")]


def test_alerts_contain_codes_and_no_message_path_or_data():
    secret = {
        "message": "password=hunter2 at /srv/app",
        "data": {"pid": 4711},
        "remedy": "look at /srv/app",
    }
    story = Story()
    story.at(0, bad(result=secret))
    story.at(60, well(result=secret))
    text = str([alert.body for batch in story.batches for alert in batch.alerts])
    assert "broken" in text
    assert not [word for word in ("hunter2", "/srv", "4711") if word in text]
    assert set(story.batches[0].alerts[0].body) == {
        *(
            "schema",
            "kind",
            "key",
            "incident_id",
            "subject",
            "component",
            "severity",
            "status",
            "code",
        ),
        *("overall_status", "at", "since", "title", "next_step", "instance_id"),
    }


def test_two_comparisons_with_the_same_states_write_the_same_keys():
    tracked = TrackedStates(
        {"part": ("fail", "broken")}, {"part": Incident("i1", "part", "critical", "broken", T, T)}
    )
    batches = [Story(tracked=tracked).at(60, well()) for _ in range(2)]
    assert batches[0].alerts == batches[1].alerts


def test_a_runner_that_is_starting_is_no_incident():
    story = Story()
    batch = story.at(0, bad("runner", status=WARN, code="starting", criticality=IMPAIRING))
    assert batch.opened == () and batch.alerts == ()
    assert flips(batch) == [("runner", "warn", "starting")]
