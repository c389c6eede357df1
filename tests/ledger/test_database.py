"""The ledger's database: its schema, its migrations, its settings, and its
behaviour under locks and kills.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic import command as alembic
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, event, inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.ledger.alerts import Flip, HistoryBatch
from gpt_cursor_runner.ledger.database import (
    LEDGER_NAME,
    MIGRATIONS,
    Database,
    NewerSchema,
    migrate,
    newest_revision,
    open_database,
)
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import metadata
from gpt_cursor_runner.patch.status import Status
from tests.building import an_outcome, make_admission, make_ledger


def test_the_migrated_schema_is_the_schema_of_the_code(ledger: Ledger) -> None:
    with ledger.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_every_index_and_check_of_the_code_is_in_the_database(ledger: Ledger) -> None:
    inspector = inspect(ledger.database.engine)
    for table in metadata.sorted_tables:
        stored_indexes = {index["name"]: index for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            stored = stored_indexes[index.name]
            assert [*index.columns.keys()] == stored["column_names"], index.name
            assert bool(index.unique) == bool(stored["unique"])
            condition = index.dialect_options["sqlite"]["where"]
            stored_condition = stored.get("dialect_options", {}).get("sqlite_where")
            assert str(condition) == str(stored_condition), index.name
        checks = {}
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                checks[str(constraint.name)] = str(constraint.sqltext)
        stored_checks = inspector.get_check_constraints(table.name)
        assert {check["name"]: check["sqltext"] for check in stored_checks} == checks


def test_live_connections_are_durable_and_check_references(ledger: Ledger) -> None:
    connections = [ledger.database.engine.connect() for _ in range(3)]
    for connection in connections:
        settings = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        connection.close()
    assert ledger.settings() == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_the_database_rejects_an_event_without_a_patch(ledger: Ledger) -> None:
    columns = "(patch_id, at, kind, actor, data, previous, digest)"
    row = f"INSERT INTO events {columns} VALUES ('no', 1, 'x', 'x', '{{}}', 'p', 'd')"  # noqa: S608  all of it is here
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), ledger.database.write() as connection:
        connection.execute(text(row))


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_current_head() == newest_revision()


def test_a_ledger_at_its_head_is_opened_while_another_process_writes(tmp_path: Path) -> None:
    writer = make_ledger(tmp_path)
    with writer.database.write():
        database = open_database(tmp_path, busy_seconds=0.1)
        migrate(database)
        database.close()
    writer.close()


def test_a_ledger_of_a_newer_version_is_unchanged(tmp_path: Path) -> None:
    newer = make_ledger(tmp_path)
    with newer.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer.close()
    with pytest.raises(NewerSchema, match="schema 9999"):
        make_ledger(tmp_path)


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    make_ledger(tmp_path / "state").close()
    make_ledger(tmp_path / "state").close()


def upgrade_to(database: Database, revision: str) -> None:
    scripts = Config()
    scripts.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        scripts.attributes["connection"] = connection
        alembic.upgrade(scripts, revision)


def assert_schema_is_current(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def test_a_ledger_of_the_first_schema_keeps_all_it_holds(tmp_path: Path) -> None:
    database = open_database(tmp_path, 1)
    upgrade_to(database, "0001")
    first = Ledger(database)
    first.intake.accept([make_admission(id="landed"), make_admission(id="waiting")])
    claimed = first.leases.claim("one", 1e12)
    assert claimed is not None
    first.leases.finish(claimed, an_outcome(Status.LANDED), 1e12)
    key, _ = first.keys.create("a client", ["read"], 1.0)
    before = (first.queries.page(), first.queries.events("landed"), first.queries.request("landed"))
    first.close()

    migrated = make_ledger(tmp_path)
    assert (
        migrated.queries.page(),
        migrated.queries.events("landed"),
        migrated.queries.request("landed"),
    ) == before
    assert migrated.keys.list() == [key]
    assert migrated.first_broken_link() is None
    assert migrated.queue_facts().oldest_queued_seq == 2
    assert_schema_is_current(migrated.database)
    migrated.close()


def test_a_ledger_with_leases_and_runners_loses_only_those(tmp_path: Path) -> None:
    database = open_database(tmp_path, 1)
    upgrade_to(database, "0002")
    second = Ledger(database)
    second.intake.accept([make_admission(id="running"), make_admission(id="waiting")])
    claimed = second.leases.claim("one", 1e12)
    assert claimed is not None
    flip = Flip("runner", "fail", "down", "ok", "up", 100.0, "instance-1")
    second.alerts.record(HistoryBatch(flips=(flip,)))
    with database.write() as connection:
        connection.execute(text("UPDATE patches SET leased_until = 9.5 WHERE id = 'running'"))
        connection.execute(
            text("INSERT INTO runners VALUES ('one', 'host', 7, 'boot', 1, 2, 3, 'idle', NULL, 4)")
        )
    before = (
        second.queries.page(),
        second.queries.events("running"),
        second.queries.request("running"),
        second.alerts.flips(),
    )
    second.close()

    migrated = make_ledger(tmp_path)
    assert (
        migrated.queries.page(),
        migrated.queries.events("running"),
        migrated.queries.request("running"),
        migrated.alerts.flips(),
    ) == before
    assert migrated.first_broken_link() is None
    assert_schema_is_current(migrated.database)
    schema = inspect(migrated.database.engine)
    assert "runners" not in schema.get_table_names()
    assert "leased_until" not in [column["name"] for column in schema.get_columns("patches")]
    migrated.leases.finish(claimed, an_outcome(Status.LANDED), 2e12)
    migrated.close()


def test_a_migration_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    database = open_database(tmp_path, 1)

    def fail(_: object, __: object, statement: str, *___: object) -> None:
        if "CREATE TABLE events" in statement:
            raise OSError("the disk is full")

    event.listen(database.engine, "before_cursor_execute", fail)
    with pytest.raises(OSError, match="full"):
        migrate(database)
    event.remove(database.engine, "before_cursor_execute", fail)
    assert inspect(database.engine).get_table_names() == []
    migrate(database)
    database.close()


def test_processes_that_start_together_on_a_fresh_directory_all_get_a_ledger(
    tmp_path: Path,
) -> None:
    script = (
        "import sys; from pathlib import Path; from gpt_cursor_runner.ledger.database import *;"
        "print('imported', flush=True); sys.stdin.read();"
        "migrate(open_database(Path(sys.argv[1]), 10)); print('migrated')"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(4)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"imported\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate(timeout=60) for process in started]
    errors = [error.decode()[-500:] for _, error in answers]
    assert [output for output, _ in answers] == [b"migrated\n"] * 4, errors


@pytest.mark.parametrize("name", ["a b", "50%", "q?x=1", "h#1"])
def test_the_state_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    ledger = make_ledger(tmp_path / name)
    assert (tmp_path / name / LEDGER_NAME).is_file()
    ledger.close()


def test_a_locked_ledger_rejects_writes_after_its_busy_time(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path / "state", busy_seconds=0.3)
    assert ledger.settings()["busy_timeout"] == 300
    other = open_database(tmp_path / "state", 1)
    with other.write():
        began = time.monotonic()
        with pytest.raises(OperationalError, match="locked"):
            ledger.intake.accept([make_admission()])
        assert time.monotonic() - began > 0.2
        with pytest.raises(OperationalError, match="locked"):
            ledger.probe_write()
    assert ledger.queries.page() == []
    other.close()
    ledger.close()


def test_reading_waits_for_no_writer(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path / "state", busy_seconds=0.1)
    ledger.intake.accept([make_admission(id="a")])
    other = open_database(tmp_path / "state", 1)
    with other.write():
        assert ledger.queries.get("a").id == "a"
        assert ledger.queue_facts().queued == 1
    other.close()
    ledger.close()


def test_the_probing_write_is_rolled_back(ledger: Ledger) -> None:
    ledger.probe_write()
    assert ledger.keys.list() == []
    assert ledger.queries.page() == []


def test_the_patch_is_on_the_disk_before_accept_returns(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed, so system calls cannot be traced")
    script = (
        "import os, sys; from pathlib import Path; from tests.building import make_admission,"
        " make_ledger;ledger = make_ledger(Path(sys.argv[1])); admission ="
        " make_admission();os.write(2, b'=before=\\n'); ledger.intake.accept([admission]);"
        " os.write(2, b'=after=\\n')"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    command += [sys.executable, "-c", script, str(tmp_path / "state")]
    subprocess.run(command, check=True, capture_output=True)
    lines = trace.read_text().splitlines()
    before = next(number for number, line in enumerate(lines) if "=before=" in line)
    after = next(number for number, line in enumerate(lines) if "=after=" in line)
    assert any("sync(" in line and line.endswith("= 0") for line in lines[before:after])


def test_an_accepted_patch_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tests.building import make_admission,"
        " make_ledger;ledger = make_ledger(Path(sys.argv[1]));"
        " ledger.intake.accept([make_admission(id='kept')]);os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "state")], check=False)
    assert ended.returncode == -9
    ledger = make_ledger(tmp_path / "state")
    assert ledger.queries.get("kept").status == "queued"
    assert ledger.first_broken_link() is None
    ledger.close()


def test_a_file_that_is_not_a_database_is_rejected(tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).write_text("not a database, but long enough to be read as one" * 40)
    database = open_database(tmp_path, 1)
    with pytest.raises(Exception, match="not a database"):
        migrate(database)
