"""A runner that is idle, or whose check runs, does not write to the ledger."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gpt_cursor_runner.engine.runner_lock import Beat, read_beat
from gpt_cursor_runner.ledger.database import LEDGER_NAME
from gpt_cursor_runner.runner.work import CONFIRM_SECONDS
from tests.building import make_admission
from tests.running import Installation, installed, wait_until

# Longer than the five seconds between two writes of the `runners` table, which
# this test is about, and than many confirmations of a lease.
QUIET_SECONDS = 6.0
LONG_CHECK = {"name": "long", "command": [sys.executable, "-c", "import time; time.sleep(60)"]}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, "runner", checks=[LONG_CHECK]) as started:
        yield started


def beat(installation: Installation) -> Beat | None:
    return read_beat(installation.directory / "state")


def wait_for_activity(installation: Installation, activity: str, sequence: int = 0) -> int:
    """Wait for a beat later than `sequence`; the number of that beat."""
    reached: list[int] = []

    def is_reached() -> bool:
        now = beat(installation)
        if now is not None and now.activity == activity and now.sequence > sequence:
            reached.append(now.sequence)
        return bool(reached)

    wait_until(is_reached, f"the runner did not become {activity}")
    return reached[-1]


def assert_ledger_stays_unwritten(installation: Installation, activity: str) -> None:
    path = installation.directory / "state" / LEDGER_NAME
    # data_version changes when any other connection, of any process, commits.
    with closing(sqlite3.connect(path, isolation_level=None)) as watcher:
        before = watcher.execute("PRAGMA data_version").fetchone()
        sequence = wait_for_activity(installation, activity)
        time.sleep(QUIET_SECONDS)
        wait_for_activity(installation, activity, sequence + 5)
        assert watcher.execute("PRAGMA data_version").fetchone() == before


def test_an_idle_runner_beats_without_writing(installation: Installation) -> None:
    wait_for_activity(installation, "idle", 3)
    assert_ledger_stays_unwritten(installation, "idle")


def test_a_running_check_beats_without_writing_and_is_still_cancelled(
    installation: Installation,
) -> None:
    ledger = installation.ledger()
    ledger.intake.accept([make_admission(id="checked")])
    wait_until(
        lambda: [event.kind for event in ledger.queries.events("checked")][-1] == "sealed",
        "the patch was not sealed",
    )
    assert_ledger_stays_unwritten(installation, "working")
    ledger.decisions.cancel("checked", "the sender", time.time())
    ledger.close()
    assert installation.wait_until_ended("checked")["status"] == "cancelled"


def test_a_cancel_is_noticed_within_a_second() -> None:
    assert CONFIRM_SECONDS <= 0.5
