"""The pace at which one check runs, by an injected clock."""

from __future__ import annotations

import pytest

from gpt_cursor_runner.health.monitor.check_thread import (
    START_PAUSE_SECONDS,
    START_SECONDS,
    CheckThread,
)
from gpt_cursor_runner.health.monitor.model import CheckStatus
from tests.health.builders import NOW, Clock, FixedProbe, reading


def failing(interval_seconds: float) -> FixedProbe:
    return FixedProbe(lambda: reading(CheckStatus.FAIL, "down"), interval_seconds=interval_seconds)


def test_the_shipped_pace_of_the_start():
    # A part that comes up is reported within a quarter of a second, and a part
    # that stays down is run at its own interval after ten.
    assert (START_PAUSE_SECONDS, START_SECONDS) == (0.25, 10.0)


def test_a_check_runs_at_its_interval_once_it_was_ok():
    thread = CheckThread(FixedProbe(interval_seconds=30.0), Clock())
    thread.run_once()
    assert thread.pause_seconds() == 30.0


def test_before_its_first_good_run_a_check_runs_four_times_a_second():
    clock = Clock()
    thread = CheckThread(failing(interval_seconds=30.0), clock)
    thread.run_once()
    assert thread.pause_seconds() == 0.25
    clock.now += 9.9
    assert thread.pause_seconds() == 0.25
    clock.now += 0.1
    assert thread.pause_seconds() == 30.0


def test_an_interval_shorter_than_the_pace_of_the_start_stays():
    thread = CheckThread(failing(interval_seconds=0.1), Clock())
    thread.run_once()
    assert thread.pause_seconds() == 0.1


@pytest.mark.parametrize(("moment", "expected"), [(NOW, True), (NOW + 0.1, False)])
def test_a_run_counts_as_fresh_by_its_beginning(moment, expected):
    clock = Clock()

    def slow() -> object:
        clock.now += 5
        return reading()

    thread = CheckThread(FixedProbe(slow), clock)
    assert not thread.has_run_since(moment)
    thread.run_once()
    assert thread.has_run_since(moment) is expected
