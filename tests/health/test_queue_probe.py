from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.health.model import Status
from gpt_cursor_runner.health.probes.queue import QueueProbe
from gpt_cursor_runner.ledger.database import migrate, open_database
from gpt_cursor_runner.ledger.facts import QueueFacts
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.health.builders import WALL, Clock

EMPTY = QueueFacts(queued=0, running=0, held=0, failed=0, oldest_queued_at=None, last_landed_at=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine = open_database(tmp_path, busy_seconds=0.1)
    migrate(engine)
    yield Ledger(engine)
    engine.dispose()


class SmallLedger:
    """Writes through one plain connection, so that every trouble of SQLite can be made for real."""

    def __init__(self, connection: sqlite3.Connection, facts: QueueFacts = EMPTY) -> None:
        self.connection = connection
        self.facts = facts

    def probe_write(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.execute("INSERT INTO kept VALUES (zeroblob(100000))")
        finally:
            self.connection.rollback()

    def queue_facts(self) -> QueueFacts:
        return self.facts


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallLedger]:
    connection = sqlite3.connect(tmp_path / "small.db", timeout=0.1, isolation_level=None)
    connection.execute("CREATE TABLE kept (value BLOB)")
    yield SmallLedger(connection)
    connection.close()


def test_the_real_ledger_is_proven_writable_and_keeps_nothing_of_it(ledger):
    found = QueueProbe(ledger).read()
    assert (found.status, found.code) == (Status.OK, "writable")
    assert found.data["queued"] == 0
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM keys").scalar() == 0


def test_the_real_ledger_that_another_writer_holds_is_locked(ledger, tmp_path):
    with sqlite3.connect(ledger.engine.url.database, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        found = QueueProbe(ledger).read()
        other.execute("ROLLBACK")
    other.close()
    assert (found.status, found.code, found.fact) == (Status.FAIL, "locked", False)
    assert QueueProbe(ledger).read().status is Status.OK


def test_a_file_that_is_no_database_is_corrupt(tmp_path):
    (tmp_path / "small.db").write_bytes(b"not a database at all" * 100)
    broken = SmallLedger(sqlite3.connect(tmp_path / "small.db", isolation_level=None))
    found = QueueProbe(broken).read()
    assert (found.status, found.code, found.fact) == (Status.FAIL, "corrupt", True)


def test_a_database_opened_for_reading_is_read_only(small, tmp_path):
    reader = sqlite3.connect(f"file:{tmp_path / 'small.db'}?mode=ro", uri=True, isolation_level=None)
    assert QueueProbe(SmallLedger(reader)).read().code == "read_only"


def test_a_database_that_may_not_grow_has_no_space(small):
    small.connection.execute("PRAGMA max_page_count = 4")
    assert QueueProbe(small).read().code == "no_space"


def test_a_full_disk_has_no_space(tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        connection = sqlite3.connect(tmp_path / "small.db", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("CREATE TABLE kept (value BLOB)")
        assert QueueProbe(SmallLedger(connection)).read().code == "no_space"
        connection.close()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_any_other_trouble_is_a_failure_too(small):
    small.connection.execute("DROP TABLE kept")
    found = QueueProbe(small).read()
    assert (found.status, found.code, found.message) == (Status.FAIL, "other", "no such table: kept")


@pytest.mark.parametrize(
    ("waited", "status", "code"),
    [
        (0, Status.OK, "writable"),
        (900, Status.OK, "writable"),
        (901, Status.WARN, "backlog"),
        (-50, Status.OK, "writable"),
    ],
)
def test_a_patch_that_waits_longer_than_a_quarter_of_an_hour_is_a_backlog(small, waited, status, code):
    small.facts = replace(EMPTY, queued=3, oldest_queued_at=WALL - waited)
    found = QueueProbe(small, wall=Clock(WALL)).read()
    assert (found.status, found.code) == (status, code)
    assert found.data["oldest_queued_seconds"] == max(0, waited)


def test_one_trouble_is_logged_once_however_long_it_lasts(small):
    probe = QueueProbe(small)
    small.connection.execute("ALTER TABLE kept RENAME TO away")
    with capture_logs() as logs:
        for _ in range(3):
            probe.read()
        small.connection.execute("ALTER TABLE away RENAME TO kept")
        probe.read()
        small.connection.execute("ALTER TABLE kept RENAME TO away")
        probe.read()
    assert [entry["code"] for entry in logs] == ["other", "other"]
