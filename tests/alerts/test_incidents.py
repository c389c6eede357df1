from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gpt_cursor_runner.alerts.incidents import REMOVED, Known, Policy, step
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import CheckState, Criticality, Status
from gpt_cursor_runner.ledger.history import HistoryBatch, Incident
from gpt_cursor_runner.ledger.outbox import Alert
from tests.health.builders import NOW, check, make_spec, snapshot

OK, WARN, FAIL, UNKNOWN = Status.OK, Status.WARN, Status.FAIL, Status.UNKNOWN
IMPAIRING = Criticality.IMPAIRING
T = 1_800_000_000.0
POLICY, NOTHING = Policy(("webhook",), "me"), Known()


@dataclass
class Story:
    """Verdict after verdict, with what is known carried from one to the next."""

    policy: Policy = POLICY
    known: Known = NOTHING
    ids: Iterator[str] = field(
        default_factory=lambda: map("incident-{}".format, itertools.count(1))
    )
    pages: list[HistoryBatch] = field(default_factory=list)

    def at(
        self, seconds: float, *checks: CheckState, dead: bool = False, **how: Any
    ) -> HistoryBatch:
        verdict = judge(snapshot(*checks), NOW + 60 if dead else NOW)
        self.known, page = step(
            self.known, verdict, T + seconds, lambda: next(self.ids), self.policy, **how
        )
        self.pages.append(page)
        return page

    def restart(self) -> None:
        """Only what the ledger holds is known."""
        self.known = Known(self.known.last, self.known.open)

    def alerts(self) -> list[tuple[str, str]]:
        """What sinks are told in the end: what was written and not held back."""
        told: list[Alert] = []
        for page in self.pages:
            told += page.alerts
            told = [
                one
                for one in told
                if page.muted.get(one.incident_id) is None or one.kind != "trigger"
            ]
        return [(one.kind, one.subject) for one in told]


def flips(page: HistoryBatch) -> list[tuple[str, str, str]]:
    return [(one.subject, one.status, one.code) for one in page.flips if one.subject != "overall"]


def well(name: str = "part", **others: Any) -> CheckState:
    return check(name, OK, code="well", **others)


def bad(name: str = "part", status: Status = FAIL, **others: Any) -> CheckState:
    return check(name, status, **({"code": "broken"} | others))


def caused(name: str, status: Status, *causes: str, **others: Any) -> CheckState:
    """Broken or well, with its causes; a second between two runs, as its causes
    have.
    """
    return check(
        name,
        status,
        code="well" if status is OK else "broken",
        spec=make_spec(name, caused_by=causes, **others),
    )


def test_a_change_is_a_flip_once_and_names_what_was_before():
    story = Story()
    assert flips(story.at(0, well())) == [("part", "ok", "well")]
    assert story.at(1, well()).flips == ()
    page = story.at(2, bad())
    flip = next(one for one in page.flips if one.subject == "part")
    assert (flip.status, flip.code, flip.before_status, flip.before_code) == (
        "fail",
        "broken",
        "ok",
        "well",
    )
    assert (flip.at, flip.instance_id, flip.incident_id) == (T + 2, "me", "incident-1")
    assert story.at(3, bad()).flips == ()


def test_another_code_is_a_flip_in_trouble_and_none_while_well():
    story = Story()
    story.at(0, well())
    assert flips(story.at(1, check(code="other"))) == []
    story.at(2, bad())
    assert flips(story.at(3, bad(code="worse"))) == [("part", "fail", "worse")]


def test_the_whole_has_flips_of_its_own():
    story = Story()
    story.at(0, well())
    assert [
        (one.status, one.code) for one in story.at(1, bad()).flips if one.subject == "overall"
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
    page = Story().at(0, bad(status=status, criticality=criticality))
    assert [(one.subject, one.severity, one.code) for one in page.opened] == [
        ("part", severity, "broken")
    ]


def test_an_incident_opens_with_a_held_letter_and_closes_with_another():
    story = Story()
    story.at(0, well())
    (alert,) = story.at(1, bad()).alerts
    assert (alert.kind, alert.incident_id, alert.created_at, alert.not_before) == (
        "trigger",
        "incident-1",
        T + 1,
        T + 7,
    )
    page = story.at(60, well())
    assert (page.closed, page.closed_at, [one.kind for one in page.alerts]) == (
        ("incident-1",),
        T + 60,
        ["resolve"],
    )
    assert story.known.open == {}


def test_every_sink_gets_a_letter_under_a_key_of_its_own():
    alerts = Story(Policy(("webhook", "apprise-1"), "me")).at(0, bad()).alerts
    assert [one.sink for one in alerts] == ["webhook", "apprise-1"]
    assert len({one.key for one in alerts}) == 2
    assert all(len(one.key) <= 100 and one.body["key"] == one.key for one in alerts)


def test_what_is_over_before_anybody_was_told_is_told_to_nobody():
    story = Story()
    story.at(0, bad())
    page = story.at(2, well())
    assert (page.closed, dict(page.muted), page.alerts) == (
        ("incident-1",),
        {"incident-1": "passed"},
        (),
    )


def test_what_is_written_late_is_not_held_back():
    story = Story()
    story.at(0, bad())
    assert [one.kind for one in story.at(2, well(), prompt=False).alerts] == ["resolve"]


def test_what_may_be_on_its_way_is_not_held_back():
    story = Story()
    story.at(0, bad())
    assert [one.kind for one in story.at(4, well()).alerts] == ["resolve"]


def test_a_part_that_starts_opens_nothing_and_closes_nothing():
    story = Story()
    starting = bad(status=UNKNOWN, code="starting")
    assert story.at(0, starting).opened == ()
    assert flips(story.pages[-1]) == [("part", "unknown", "starting")]
    story.at(10, bad())
    assert story.at(20, starting).closed == ()
    assert story.at(30, bad()).opened == ()


def test_a_warning_that_becomes_critical_is_told_again_as_the_same_incident():
    story = Story()
    story.at(0, bad(status=WARN))
    page = story.at(10, bad())
    assert [(one.kind, one.incident_id, one.body["severity"]) for one in page.alerts] == [
        ("trigger", "incident-1", "critical")
    ]
    assert dict(page.escalated) == {"incident-1": "critical"}
    story.restart()
    assert story.at(11, bad()).alerts == ()


def test_a_cause_in_trouble_speaks_for_what_it_causes():
    story = Story()
    page = story.at(0, bad("disk"), caused("queue", FAIL, "disk"))
    assert {one.subject: one.muted_by for one in page.opened} == {"disk": None, "queue": "disk"}
    assert [one.subject for one in page.alerts] == ["disk"]
    story.at(30, well("disk"), caused("queue", OK, "disk"))
    assert story.alerts() == [("trigger", "disk"), ("resolve", "disk")]


def test_a_cause_noticed_a_moment_later_still_speaks_for_it():
    story = Story()
    story.at(0, well("disk"), caused("queue", FAIL, "disk"))
    page = story.at(2, bad("disk"), caused("queue", FAIL, "disk"))
    assert dict(page.muted) == {"incident-1": "disk"}
    story.at(30, well("disk"), caused("queue", OK, "disk"))
    assert story.alerts() == [("trigger", "disk"), ("resolve", "disk")]


def test_the_hold_lasts_as_long_as_a_cause_may_take_to_be_looked_at():
    disk = check("disk", spec=make_spec("disk", interval_seconds=10.0))
    (alert,) = Story().at(0, disk, caused("queue", FAIL, "disk")).alerts
    assert alert.not_before == T + 16


def test_what_stays_in_trouble_without_its_cause_is_told_after_its_time():
    story = Story()
    story.at(0, bad("disk"), caused("queue", FAIL, "disk"))
    assert [
        one.kind for one in story.at(60, well("disk"), caused("queue", FAIL, "disk")).alerts
    ] == ["resolve"]
    assert story.at(62, well("disk"), caused("queue", FAIL, "disk")).alerts == ()
    page = story.at(63, well("disk"), caused("queue", FAIL, "disk"))
    assert [(one.kind, one.subject) for one in page.alerts] == [("trigger", "queue")]
    assert dict(page.muted) == {"incident-2": None}
    assert [one.kind for one in story.at(90, well("disk"), caused("queue", OK, "disk")).alerts] == [
        "resolve"
    ]


@pytest.mark.parametrize(
    "cause",
    [
        bad("disk", status=WARN),
        bad("disk", criticality=IMPAIRING),
        bad("disk", status=UNKNOWN, code="starting"),
    ],
    ids=["works", "less severe", "starting"],
)
def test_a_cause_that_works_or_weighs_less_does_not_silence_a_critical_part(cause):
    assert "queue" in [
        one.subject for one in Story().at(0, cause, caused("queue", FAIL, "disk")).alerts
    ]


def test_dead_machinery_is_one_letter_and_not_one_for_every_check():
    story = Story()
    story.at(0, well("a"), well("b"))
    page = story.at(1, well("a"), well("b"), dead=True)
    assert {one.subject: one.muted_by for one in page.opened} == {
        "overall": None,
        "a": "overall",
        "b": "overall",
    }
    assert [(one.subject, one.body["code"]) for one in page.alerts] == [
        ("overall", "health_engine.stale")
    ]
    assert story.at(60, well("a"), well("b")).closed != ()
    assert story.alerts() == [("trigger", "overall"), ("resolve", "overall")]


def test_a_flapping_check_is_one_letter_and_one_when_it_is_over():
    story = Story()
    story.at(0, well())
    for second in range(1, 30):
        story.at(second, bad(flapping=True) if second % 2 else check(flapping=True))
    assert story.alerts() == [("flapping", "part")]
    story.at(40, well())
    assert story.alerts() == [("flapping", "part"), ("resolve", "part")]


def test_a_trouble_that_begins_to_flap_is_told_so_once():
    story = Story()
    story.at(0, bad())
    story.at(10, bad(flapping=True))
    story.at(11, bad(flapping=True))
    story.at(20, bad())
    assert story.alerts() == [("trigger", "part"), ("flapping", "part")]


def test_reminders_come_as_often_as_asked_and_not_of_what_is_muted():
    story = Story()
    for hour in range(13):
        story.at(3600 * hour, bad("disk"), caused("queue", FAIL, "disk"))
    assert story.alerts() == [("trigger", "disk"), *[("reminder", "disk")] * 3]
    assert len({one.key for page in story.pages for one in page.alerts}) == 4
    never = Story(replace(POLICY, remind_seconds=0))
    never.at(0, bad())
    assert never.at(10**6, bad()).alerts == ()


def test_nobody_is_told_of_what_is_beneath_the_least_severity():
    story = Story(Policy(("webhook",), "me", minimum_severity="critical"))
    story.at(0, bad(status=WARN))
    story.at(100_000, bad(status=WARN))
    assert story.alerts() == []
    story.at(100_001, bad())
    story.at(100_060, well())
    assert story.alerts() == [("trigger", "part"), ("resolve", "part")]


def test_the_incident_of_a_check_that_is_configured_no_more_is_closed():
    story = Story()
    story.at(0, well("kept"), bad())
    page = story.at(60, well("kept"))
    assert (page.closed, flips(page)) == (("incident-1",), [("part", "unknown", REMOVED)])
    assert [(one.kind, one.body["code"]) for one in page.alerts] == [("resolve", REMOVED)]
    assert story.at(61, well("kept")).flips == ()


def test_after_a_restart_a_trouble_that_is_over_is_resolved_and_one_that_goes_on_is_not_told_twice():
    story = Story()
    story.at(0, bad("a"), bad("b"))
    story.restart()
    story.at(60, check("a", None), check("b", None))
    story.at(61, well("a"), bad("b"))
    assert story.alerts() == [("trigger", "a"), ("trigger", "b"), ("resolve", "a")]


def test_letters_hold_codes_and_no_message_path_or_data():
    secret = {
        "message": "password=hunter2 at /srv/app",
        "data": {"pid": 4711},
        "remedy": "look at /srv/app",
    }
    story = Story()
    story.at(0, bad(said=secret))
    story.at(60, well(said=secret))
    text = str([alert.body for page in story.pages for alert in page.alerts])
    assert "broken" in text
    assert not [word for word in ("hunter2", "/srv", "4711") if word in text]
    assert set(story.pages[0].alerts[0].body) == {
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


def test_two_steps_from_the_same_known_state_write_the_same_keys():
    known = Known(
        {"part": ("fail", "broken")}, {"part": Incident("one", "part", "critical", "broken", T, T)}
    )
    pages = [Story(known=known).at(60, well()) for _ in range(2)]
    assert pages[0].alerts == pages[1].alerts


def test_a_part_that_is_seen_but_not_yet_at_work_is_no_incident():
    story = Story()
    page = story.at(0, bad("runner", status=WARN, code="starting", criticality=IMPAIRING))
    assert page.opened == () and page.alerts == ()
    assert flips(page) == [("runner", "warn", "starting")]
