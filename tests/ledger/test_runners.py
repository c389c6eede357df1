"""Runners as they say of themselves in the ledger."""

from __future__ import annotations

from dataclasses import replace

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.runners import RunnerRow
from tests.ledger.health_builders import DAY, NOW

ONE = RunnerRow("one", "host", 4711, "boot", NOW, NOW, 0, "starting")


def test_a_runner_that_started_beat_and_stopped_is_told_as_it_last_was(ledger: Ledger) -> None:
    ledger.runners.started(ONE)
    assert ledger.runners.all(NOW) == [ONE]
    assert ledger.runners.beat("one", 2**40, "working", "patch-1", NOW + 5)
    beaten = replace(ONE, beat_at=NOW + 5, sequence=2**40, activity="working", patch_id="patch-1")
    assert ledger.runners.all(NOW) == [beaten]
    assert ledger.runners.stopped("one", NOW + 9)
    assert ledger.runners.all(NOW) == [replace(beaten, patch_id=None, stopped_at=NOW + 9)]


def test_a_runner_that_is_not_there_learns_it_from_its_beat(ledger: Ledger) -> None:
    assert not ledger.runners.beat("one", 1, "idle", None, NOW)
    assert not ledger.runners.stopped("one", NOW)
    ledger.runners.started(ONE)
    ledger.runners.stopped("one", NOW)
    assert not ledger.runners.beat("one", 1, "idle", None, NOW + 1)
    assert not ledger.runners.stopped("one", NOW + 1)
    ledger.runners.started(replace(ONE, started_at=NOW + 2, beat_at=NOW + 2))
    assert ledger.runners.beat("one", 1, "idle", None, NOW + 3)


def test_runners_are_listed_freshest_first_and_only_so_far_back(ledger: Ledger) -> None:
    for number, name in enumerate(("old", "middle", "fresh")):
        ledger.runners.started(replace(ONE, id=name, beat_at=NOW + number))
    assert [row.id for row in ledger.runners.all(NOW + 1)] == ["fresh", "middle"]


def test_a_start_forgets_those_who_were_silent_or_stopped_for_a_week(ledger: Ledger) -> None:
    for name, age in (("silent", 7.1), ("quiet", 6.9), ("stopped", 8), ("stopped lately", 8)):
        ledger.runners.started(
            replace(ONE, id=name, started_at=NOW - 8 * DAY, beat_at=NOW - age * DAY)
        )
    ledger.runners.stopped("stopped", NOW - 7.1 * DAY)
    ledger.runners.stopped("stopped lately", NOW - 6.9 * DAY)
    ledger.runners.started(ONE)
    assert {row.id for row in ledger.runners.all(0)} == {"one", "quiet", "stopped lately"}
