from __future__ import annotations

import time

import pytest

from gpt_cursor_runner.system.clock import (
    SteadyClock,
    boottime,
    format_local,
    format_rfc3339,
    parse_rfc3339,
)
from tests.health.builders import Clock


def test_boottime_runs_with_the_seconds():
    before = boottime()
    time.sleep(0.05)
    assert 0.04 < boottime() - before < 5


def test_a_steady_clock_follows_slow_corrections():
    wall, monotonic = Clock(1_000_000.0), Clock(50.0)
    clock = SteadyClock(wall, monotonic)
    for _ in range(10):
        wall.now, monotonic.now = wall.now + 60.5, monotonic.now + 60
        assert clock() == wall.now


def test_a_steady_clock_passes_over_jumps_both_ways():
    wall, monotonic = Clock(1_000_000.0), Clock(50.0)
    clock = SteadyClock(wall, monotonic)
    for jump in (-3600, 86_400):
        wall.now, monotonic.now = wall.now + jump + 1, monotonic.now + 1
        before = clock()
        wall.now, monotonic.now = wall.now + 10, monotonic.now + 10
        assert clock() - before == 10
    assert clock() == 1_000_022.0


def test_a_jump_that_is_taken_back_leaves_nothing_behind():
    wall, monotonic = Clock(1_000_000.0), Clock(50.0)
    clock = SteadyClock(wall, monotonic)
    wall.now -= 3600
    assert clock() == 1_000_000.0
    wall.now += 3600.5
    assert clock() == 1_000_000.5


def test_a_time_is_formatted_in_utc_with_its_offset():
    assert format_rfc3339(1_785_585_600.1239) == "2026-08-01T12:00:00.123+00:00"
    assert format_rfc3339(1_785_585_600.5, "microseconds") == "2026-08-01T12:00:00.500000+00:00"


@pytest.mark.parametrize(
    "text", ["2026-08-01T12:00:00Z", "2026-08-01T14:00:00+02:00", "2026-08-01 12:00:00.0+00:00"]
)
def test_a_time_with_its_offset_is_parsed(text):
    assert parse_rfc3339(text) == 1_785_585_600


@pytest.mark.parametrize("text", ["", "now", "2026-08-01T12:00:00", "2026-13-01T12:00:00Z"])
def test_a_time_without_an_offset_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


def test_a_local_time_is_the_same_moment():
    text = format_local(1_785_585_600.9)
    assert parse_rfc3339(text) == 1_785_585_600
    assert " " in text
