"""Runners that only the ledger knows of, beside the one whose lock is in this
state directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.engine.roll import host_name
from gpt_cursor_runner.engine.runner_lock import RunnerLock, boot_id
from gpt_cursor_runner.health.monitor.model import Reading, Status
from gpt_cursor_runner.health.probes.runner import RunnerProbe
from gpt_cursor_runner.ledger.runners import RunnerRow
from tests.building import make_ledger
from tests.health.builders import WALL, Clock

ELSEWHERE = RunnerRow("far-1", "far", 7, "another boot", WALL, WALL, 1, "idle")


@dataclass
class Ledger:
    """Rows that a test sets, or an error."""

    rows: list[RunnerRow] = field(default_factory=lambda: [ELSEWHERE])
    error: Exception | None = None
    reads: int = 0

    def __call__(self) -> list[RunnerRow]:
        self.reads += 1
        if self.error:
            raise self.error
        return self.rows

    def beats(self, **others: Any) -> None:
        self.rows = [replace(row, sequence=row.sequence + 1, **others) for row in self.rows]


class Watching:
    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self.clock, self.ledger = Clock(), ledger
        self.unmoved: object = None
        self.probe = RunnerProbe(directory, ledger, lambda: self.unmoved, monotonic=self.clock)

    def after(self, seconds: float) -> Reading:
        self.clock.now += seconds
        return self.probe.read()


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    return Watching(tmp_path, Ledger())


def told(found: Reading) -> tuple[Status, str, str]:
    return found.status, found.code, found.data["state"]


def test_a_runner_of_another_machine_is_up_once_it_was_seen_to_move(watching):
    assert told(watching.after(0)) == (Status.WARN, "starting", "starting")
    watching.ledger.beats()
    found = watching.after(2)
    assert told(found) == (Status.OK, "up", "up")
    assert found.data["runners"] == [
        {
            "id": "far-1",
            "host": "far",
            "state": "up",
            "activity": "idle",
            "sequence_age_seconds": 0.0,
        }
    ]


def test_a_runner_of_another_machine_that_is_silent_for_half_a_minute_is_no_help(watching):
    watching.after(0)
    watching.ledger.beats(beat_at=WALL + 86_400)  # whatever its clock says
    assert told(watching.after(2))[1] == "up"
    assert told(watching.after(30))[1] == "up"
    found = watching.after(0.1)
    assert told(found) == (Status.FAIL, "down", "down")
    assert found.data["runners"][0]["state"] == "stalled"


def test_a_runner_of_another_machine_that_took_leave_is_gone_at_once(watching):
    watching.after(0)
    watching.ledger.beats()
    assert told(watching.after(2))[1] == "up"
    watching.ledger.beats(stopped_at=WALL)
    found = watching.after(2)
    assert (told(found)[1], found.data["runners"]) == ("down", [])


def test_the_row_of_this_machines_own_runner_does_not_outlive_its_lock(tmp_path):
    watching = Watching(tmp_path, Ledger([replace(ELSEWHERE, host=host_name(), boot_id=boot_id())]))
    watching.after(0)
    watching.ledger.beats()
    assert told(watching.after(2)) == (Status.FAIL, "down", "down")


def test_a_row_from_before_this_machine_was_started_anew_promises_nothing(tmp_path):
    watching = Watching(tmp_path, Ledger([replace(ELSEWHERE, host=host_name())]))
    assert told(watching.after(0)) == (Status.FAIL, "down", "down")
    watching.ledger.beats()  # another machine of that name, then
    assert told(watching.after(2))[1] == "up"


def test_two_runners_are_both_shown_and_the_other_steps_in_for_the_one_that_is_down(
    watching, tmp_path
):
    with RunnerLock(tmp_path, "here") as presence:
        watching.after(0)
        presence.beat("idle")
        watching.ledger.beats()
        found = watching.after(2)
        assert [(one["id"], one["state"]) for one in found.data["runners"]] == [
            ("here", "up"),
            ("far-1", "up"),
        ]
        assert found.data["runner_id"] == "here"
        watching.ledger.beats()
        stalled = watching.after(11)
        assert told(stalled) == (Status.OK, "up", "up") and "has not turned" in stalled.message
        assert [one["state"] for one in stalled.data["runners"]] == ["stalled", "up"]
    watching.ledger.beats()
    assert told(watching.after(2)) == (Status.OK, "up", "up")


def test_what_the_ledger_cannot_tell_is_unknown_and_hides_no_local_fact(watching, tmp_path):
    watching.after(0)
    watching.ledger.beats()
    watching.after(2)
    watching.ledger.error = OSError("the disk is gone")
    with capture_logs() as logs:
        assert told(watching.after(2)) == (Status.UNKNOWN, "unread", "unknown")
        watching.after(2)
        with RunnerLock(tmp_path, "here") as presence:
            watching.after(0)
            presence.beat("idle")
            assert told(watching.after(0)) == (Status.OK, "up", "up")
    assert [entry["event"] for entry in logs].count("runners_unreadable") == 1
    watching.ledger.error = None
    watching.ledger.beats()
    assert told(watching.after(2))[1] == "up"


def test_the_ledger_is_asked_every_other_second_at_most(watching):
    for _ in range(20):
        watching.after(0.5)
    assert watching.ledger.reads == 5


def test_the_real_ledger_tells_of_the_others(tmp_path):
    ledger = make_ledger(tmp_path / "ledger")
    ledger.runners.started(ELSEWHERE)
    watching = Watching(tmp_path, Ledger())
    probe = RunnerProbe(tmp_path, lambda: ledger.runners.all(WALL - 60), monotonic=watching.clock)
    assert told(probe.read())[1] == "starting"
    ledger.runners.beat("far-1", 2, "paused", None, WALL + 5)
    watching.clock.now += 2
    found = probe.read()
    assert [one["state"] for one in found.data["runners"]] == ["paused"]
    ledger.close()


def test_a_paused_runner_is_said_to_be_paused(watching, tmp_path):
    watching.ledger.rows = []
    with RunnerLock(tmp_path, "here") as presence:
        watching.after(0)
        presence.beat("paused")
        assert told(watching.after(1)) == (Status.WARN, "paused", "paused")


def test_a_runner_that_turns_and_does_not_take_what_waits_is_stalled(watching, tmp_path):
    watching.ledger.rows = []
    with RunnerLock(tmp_path, "here") as presence:

        def turn(activity: str, seconds: float) -> tuple[Status, str, str]:
            presence.beat(activity)
            return told(watching.after(seconds))

        turn("idle", 0)
        watching.unmoved = (3, None)
        assert turn("idle", 1)[1] == "up"
        assert turn("idle", 9)[1] == "up"
        assert turn("idle", 5.9)[1] == "up"
        assert turn("idle", 0.2) == (Status.FAIL, "not_claiming", "stalled")
        assert turn("working", 1)[1] == "up"  # on another patch
        assert turn("idle", 9)[1] == "up"
        watching.unmoved = (4, None)  # one was taken, another waits
        assert turn("idle", 9)[1] == "up"
        watching.unmoved = None
        assert turn("idle", 9)[1] == "up"
        watching.unmoved = (5, None)
        assert turn("idle", 9)[1] == "up"
