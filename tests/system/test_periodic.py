from __future__ import annotations

import threading
import time

from structlog.testing import capture_logs

from gpt_cursor_runner.system.periodic import PeriodicThread
from tests.health.builders import until


def test_turns_repeat_until_the_last_one():
    events: list[str] = []

    def turn() -> float:
        events.append("turn")
        return 0.01

    rounds = PeriodicThread("test", turn, 2.0, last=lambda: events.append("last"))
    rounds.start()
    assert until(lambda: len(events) > 3)
    rounds.stop()
    assert events[-1] == "last" and events.count("last") == 1


def test_a_turn_that_raises_is_logged_and_the_next_one_comes():
    came = threading.Event()
    troubles = [RuntimeError("not this time")]

    def turn() -> float:
        if troubles:
            raise troubles.pop()
        came.set()
        return 60.0

    with capture_logs() as logs:
        rounds = PeriodicThread("test", turn, 2.0)
        rounds.start()
        assert came.wait(5)
        rounds.stop()
    assert [(entry["event"], entry["thread"]) for entry in logs] == [("turn_failed", "test")]


def test_stopping_ends_a_long_rest_and_waits_for_no_endless_turn():
    resting = PeriodicThread("rest", lambda: 3600.0, 2.0)
    hanging = PeriodicThread("hang", lambda: time.sleep(30) or 0.0, 0.1)  # type: ignore[func-returns-value]
    for rounds in (resting, hanging):
        rounds.start()
    resting.stop()
    assert not resting.is_alive()
    hanging.stop()
    assert hanging.is_alive()


def test_a_thread_that_never_began_can_be_stopped():
    PeriodicThread("never", lambda: 0.0, 2.0).stop()


def test_wake_starts_the_next_turn_at_once():
    turns: list[float] = []

    def turn() -> float:
        turns.append(time.monotonic())
        return 3600.0

    thread = PeriodicThread("test", turn, 2.0)
    thread.start()
    assert until(lambda: len(turns) == 1)
    thread.wake()
    assert until(lambda: len(turns) == 2)
    thread.stop()
    assert not thread.is_alive()


def test_a_wake_during_a_turn_is_not_lost():
    turns: list[float] = []
    threads: list[PeriodicThread] = []

    def turn() -> float:
        turns.append(time.monotonic())
        if len(turns) == 1:
            threads[0].wake()
        return 3600.0

    thread = PeriodicThread("test", turn, 2.0)
    threads.append(thread)
    thread.start()
    assert until(lambda: len(turns) == 2)
    thread.stop()
