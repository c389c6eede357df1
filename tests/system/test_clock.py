from __future__ import annotations

import time

from gpt_cursor_runner.system.clock import SteadyClock, boottime
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
