from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.engine.runner_lock import RunnerLock
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.probes.ages import ArrivalLog
from gpt_cursor_runner.health.probes.queue import QueueProbe
from gpt_cursor_runner.health.probes.runner import NOT_CLAIMING_SECONDS, RunnerProbe
from gpt_cursor_runner.ledger.database import LEDGER_NAME, migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.queries import QueueFacts
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.wiring.ledger import BUSY_SECONDS
from tests.health.builders import WALL, Clock

EMPTY = QueueFacts(
    queued=0, running=0, held=0, failed=0, oldest_queued_at=None, last_landed_at=None
)


def never() -> float:
    """The moment of the last recorded patch, when there was none."""
    return float("-inf")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    database = open_database(tmp_path, busy_seconds=0.1)
    migrate(database)
    yield Ledger(database)
    database.close()


class SmallLedger:
    """Writes through one plain connection, in which a test can cause every real
    error of SQLite.
    """

    def __init__(self, connection: sqlite3.Connection, facts: QueueFacts = EMPTY) -> None:
        self.connection = connection
        self.facts = facts

    def probe_write(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.execute("INSERT INTO kept VALUES (zeroblob(100000))")
        finally:
            self.connection.rollback()

    def queue_facts(self, *, blocked: Collection[str] = ()) -> QueueFacts:
        return self.facts


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallLedger]:
    connection = sqlite3.connect(tmp_path / "small.db", timeout=0.1, isolation_level=None)
    connection.execute("CREATE TABLE kept (value BLOB)")
    yield SmallLedger(connection)
    connection.close()


def test_the_real_ledger_is_writable_and_keeps_no_row_of_the_check(ledger):
    reading = QueueProbe(ledger, never).read()
    assert (reading.status, reading.code) == (CheckStatus.OK, "writable")
    assert reading.data["queued"] == 0
    with ledger.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM keys").scalar() == 0


def test_a_patch_recorded_while_the_check_waited_proves_that_the_ledger_is_writable(ledger):
    with sqlite3.connect(ledger.database.engine.url.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        reading = QueueProbe(ledger, boottime).read()
        long_ago = boottime()
        stale = QueueProbe(ledger, lambda: long_ago).read()
        other.execute("ROLLBACK")
    other.close()
    assert (reading.status, reading.code) == (CheckStatus.OK, "writable")
    assert (stale.status, stale.code) == (CheckStatus.FAIL, "locked")


def test_the_real_ledger_that_another_writer_holds_is_locked(ledger, tmp_path):
    with sqlite3.connect(ledger.database.engine.url.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        reading = QueueProbe(ledger, never).read()
        other.execute("ROLLBACK")
    other.close()
    assert (reading.status, reading.code, reading.fact) == (CheckStatus.FAIL, "locked", True)
    assert QueueProbe(ledger, never).read().status is CheckStatus.OK


def test_a_file_that_is_no_database_is_corrupt(tmp_path):
    (tmp_path / "small.db").write_bytes(b"not a database at all" * 100)
    broken = SmallLedger(sqlite3.connect(tmp_path / "small.db", isolation_level=None))
    reading = QueueProbe(broken, never).read()
    assert (reading.status, reading.code, reading.fact) == (CheckStatus.FAIL, "corrupt", True)


def test_a_database_opened_for_reading_is_read_only(small, tmp_path):
    reader = sqlite3.connect(
        f"file:{tmp_path / 'small.db'}?mode=ro", uri=True, isolation_level=None
    )
    assert QueueProbe(SmallLedger(reader), never).read().code == "read_only"


def test_a_database_that_may_not_grow_has_no_space(small):
    small.connection.execute("PRAGMA max_page_count = 4")
    assert QueueProbe(small, never).read().code == "no_space"


def test_a_full_disk_has_no_space(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        connection = sqlite3.connect(tmp_path / "small.db", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("CREATE TABLE kept (value BLOB)")
        assert QueueProbe(SmallLedger(connection), never).read().code == "no_space"
        connection.close()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_any_other_error_is_a_failure_too(small):
    small.connection.execute("DROP TABLE kept")
    reading = QueueProbe(small, never).read()
    assert (reading.status, reading.code, reading.message) == (
        CheckStatus.FAIL,
        "other",
        "no such table: kept",
    )


class Waiting:
    """A ledger in which patch 1 waits, and a probe with two clocks that a test
    sets.
    """

    def __init__(self, small: SmallLedger, waited: float = 0.0) -> None:
        self.small, self.wall, self.own = small, Clock(WALL), Clock()
        self.probe = QueueProbe(small, never, wall=self.wall, monotonic=self.own)
        small.facts = replace(
            EMPTY, queued=1, oldest_queued_seq=1, oldest_queued_at=WALL - waited, last_seq=1
        )

    def after(self, seconds: float, wall_set_by: float = 0.0) -> Reading:
        self.own.now += seconds
        self.wall.now += seconds + wall_set_by
        return self.probe.read()


@pytest.mark.parametrize(
    ("waited", "status", "code"),
    [
        (0, CheckStatus.OK, "writable"),
        (900, CheckStatus.OK, "writable"),
        (901, CheckStatus.WARN, "backlog"),
        (-50, CheckStatus.OK, "writable"),
    ],
)
def test_a_patch_that_waits_longer_than_a_quarter_of_an_hour_is_a_backlog(
    small, waited, status, code
):
    reading = Waiting(small, waited).after(0)
    assert (reading.status, reading.code) == (status, code)
    assert reading.data["oldest_queued_seconds"] == max(0, waited)


@pytest.mark.parametrize("wall_set_by", [-3600, 86_400])
def test_a_wall_clock_that_is_set_makes_no_patch_older_or_younger(small, wall_set_by):
    here = Waiting(small, waited=100)
    here.after(0)
    assert here.after(5, wall_set_by).data["oldest_queued_seconds"] == 105
    here.small.facts = replace(
        here.small.facts, oldest_queued_seq=2, last_seq=2, oldest_queued_at=here.wall.now - 1
    )
    assert here.after(5).data["oldest_queued_seconds"] == 0
    assert here.after(10, -wall_set_by).data["oldest_queued_seconds"] == 10


def test_a_patch_that_arrives_later_is_as_old_as_its_first_reading(small):
    here = Waiting(small)
    here.after(0)
    here.small.facts = replace(here.small.facts, queued=3, last_seq=3)
    here.after(800)
    here.small.facts = replace(
        here.small.facts, queued=1, oldest_queued_seq=3, oldest_queued_at=WALL - 86_400
    )
    assert here.after(100).data["oldest_queued_seconds"] == 100
    assert here.after(801).code == "backlog"


def test_the_ages_start_again_in_a_ledger_that_was_replaced(small):
    here = Waiting(small, waited=2000)
    here.small.facts = replace(here.small.facts, oldest_queued_seq=70, last_seq=70)
    assert here.after(0).code == "backlog"
    here.small.facts = replace(
        EMPTY, queued=1, oldest_queued_seq=1, oldest_queued_at=WALL + 2000, last_seq=1
    )
    assert here.after(2000).data["oldest_queued_seconds"] == 0


def test_the_arrivals_of_days_take_bounded_memory():
    arrivals = ArrivalLog()
    for number in range(100_000):
        arrivals.record(number, now=2.0 * number, wall=WALL)
    assert len(vars(arrivals)["_entries"]) <= 512
    assert arrivals.age(0, WALL - 5, 200_000.0) == 200_005.0
    assert 0 <= arrivals.age(99_999, WALL, 200_000.0) <= 2.0
    assert arrivals.age(50_000, WALL, 200_000.0) <= 100_000.0


def test_patches_that_failed_within_a_day_are_a_warning_beside_a_backlog(small):
    here = Waiting(small)
    here.small.facts = replace(here.small.facts, failed=5, failed_lately=2)
    reading = here.after(0)
    assert (reading.status, reading.code, reading.message) == (
        CheckStatus.WARN,
        "dead_letters",
        "2 failed within a day",
    )
    both = here.after(901)
    assert (both.code, both.data["warnings"]) == ("backlog", ["backlog", "dead_letters"])


def test_how_long_the_oldest_attempt_runs_follows_our_own_clock(small):
    here = Waiting(small)
    assert here.after(0).data["oldest_running_seconds"] is None
    here.small.facts = replace(EMPTY, running=1, oldest_running_at=WALL - 30)
    assert here.after(0).data["oldest_running_seconds"] == 30
    assert here.after(7, wall_set_by=3600).data["oldest_running_seconds"] == 37


def test_the_gateways_ledger_is_reported_as_locked_before_the_check_is_late(tmp_path):
    database = open_database(tmp_path, BUSY_SECONDS)
    migrate(database)
    with database.engine.connect() as connection:
        busy_milliseconds = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    with sqlite3.connect(tmp_path / LEDGER_NAME, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        reading = QueueProbe(Ledger(database), never).read()
    other.close()
    database.close()
    assert reading.code == "locked"
    assert busy_milliseconds == 1000 * BUSY_SECONDS
    assert QueueProbe.spec.deadline_seconds > BUSY_SECONDS + 0.4


def test_an_error_that_lasts_is_logged_once(small):
    probe = QueueProbe(small, never)
    small.connection.execute("ALTER TABLE kept RENAME TO away")
    with capture_logs() as logs:
        for _ in range(3):
            probe.read()
        small.connection.execute("ALTER TABLE away RENAME TO kept")
        probe.read()
        small.connection.execute("ALTER TABLE kept RENAME TO away")
        probe.read()
    assert [entry["code"] for entry in logs] == ["other", "other"]


def test_a_patch_that_could_be_claimed_stays_the_same_until_it_is_or_another_lands(small):
    here = Waiting(small)
    assert here.probe.claimable() is None
    here.small.facts = replace(here.small.facts, oldest_claimable_seq=1)
    here.after(0)
    first = here.probe.claimable()
    here.after(2)
    assert first is not None and here.probe.claimable() == first
    here.small.facts = replace(here.small.facts, last_landed_at=WALL)
    here.after(2)
    assert here.probe.claimable() not in (None, first)
    here.own.now += QueueProbe.spec.stale_after_seconds
    assert here.probe.claimable() is None
    here.small.facts = replace(here.small.facts, oldest_claimable_seq=None)
    here.after(0)
    assert here.probe.claimable() is None


@pytest.mark.parametrize("interval_seconds", [2.0, 10.0, 60.0])
def test_a_runner_that_does_not_claim_is_detected_at_any_interval_of_the_queue(
    small, tmp_path, interval_seconds
):
    here = Waiting(small)
    here.probe.spec = replace(QueueProbe.spec, interval_seconds=interval_seconds)
    here.small.facts = replace(here.small.facts, oldest_claimable_seq=1)
    runner = RunnerProbe(tmp_path, here.probe.claimable, monotonic=here.own)
    with RunnerLock(tmp_path, "runner-1") as lock:
        codes = []
        for _ in range(3 + int(NOT_CLAIMING_SECONDS / interval_seconds)):
            here.probe.read()
            # The runner is read just before the queue is read again.
            here.own.now += interval_seconds - 0.1
            lock.beat("idle")
            codes.append(runner.read().code)
            here.own.now += 0.1
    assert (codes[0], codes[-1]) == ("starting", "not_claiming")
