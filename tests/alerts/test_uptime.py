"""The seconds of each state that are not in the ledger yet."""

from __future__ import annotations

import pytest

from gpt_cursor_runner.alerts.uptime import UptimeTally
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import CheckStatus
from tests.health.builders import NOW, check, snapshot

START = 1_800_000_000  # the start of a minute
OK = judge(snapshot(check()), NOW)
FAIL = judge(snapshot(check(status=CheckStatus.FAIL)), NOW)


def test_the_time_between_two_verdicts_counts_for_the_second():
    tally = UptimeTally()
    tally.add(OK, 10.0, START + 10)
    tally.add(FAIL, 12.0, START + 12)
    assert tally.seconds(START) == {"part": (0, 0, 2, 0), "overall": (0, 0, 0, 2)}


def test_time_is_split_where_a_minute_ends():
    tally = UptimeTally()
    tally.add(OK, 0.0, START + 58)
    tally.add(OK, 4.0, START + 62)
    assert tally.complete_minutes(START + 119) == [START]
    assert tally.complete_minutes(START + 120) == [START, START + 60]
    assert [tally.seconds(start)["part"][0] for start in (START, START + 60)] == [2, 2]


@pytest.mark.parametrize(("gap", "observed"), [(5.0, [5.0]), (5.1, []), (0.0, []), (-1.0, [])])
def test_a_gap_of_more_than_five_seconds_is_not_observed(gap, observed):
    tally = UptimeTally()
    tally.add(OK, 100.0, START + 10)
    tally.add(OK, 100.0 + gap, START + 10 + gap)
    minutes = tally.complete_minutes(START + 60)
    assert [tally.seconds(minute)["part"][0] for minute in minutes] == observed


def test_the_minutes_of_the_last_day_are_kept_until_they_are_discarded():
    tally = UptimeTally()
    for minute in range(1500):
        tally.add(OK, 60.0 * minute, START + 60 * minute)
        tally.add(OK, 60.0 * minute + 1, START + 60 * minute + 1)
    minutes = tally.complete_minutes(START + 60 * 1500)
    assert minutes == [START + 60 * minute for minute in range(60, 1500)]
    tally.discard(minutes[0])
    assert tally.complete_minutes(START + 60 * 1500) == minutes[1:]
