"""Opening the SQLite ledger: durable, exclusive for writers, and at the
schema's head.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gpt_cursor_runner.ledger.schema import HEAD, version

LEDGER_NAME = "ledger.sqlite3"
READ_ONLY = "gcr_read_only"
_WAL_PATIENCE_SECONDS = 2.0


class NewerSchema(SQLAlchemyError):
    """The ledger is from a later version of this program, which alone may write
    to it.
    """


def open_database(directory: Path, busy_seconds: float) -> Engine:
    """An engine on the ledger in `directory`; `busy_seconds` is how long a
    writer waits for another one.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(directory / LEDGER_NAME)),
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=64,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to its head; a read, and nothing more, when it is there
    already.

    Raises NewerSchema when a later version of this program has been here.
    """
    with engine.execution_options(**{READ_ONLY: True}).begin() as connection:
        found = (
            connection.execute(select(version)).scalar()
            if inspect(connection).has_table(version.name)
            else None
        )
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise NewerSchema(
            f"it has schema {found}, written by a newer version; this one knows {HEAD}"
        )
    # Loaded here, because it takes longer than most commands and is needed once
    # in the life of a schema.
    import alembic.command
    import alembic.config

    settings = alembic.config.Config()
    scripts = str(Path(__file__).parent / "migrations")
    settings.set_main_option(
        "script_location", scripts.replace("%", "%%")
    )  # a configparser reads it
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, HEAD)


def _prepare_connection(connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401  SQLAlchemy's record
    # The driver must not begin transactions by itself: _begin says BEGIN
    # IMMEDIATE where it means it.
    connection.isolation_level = None
    cursor = connection.cursor()
    _into_wal(cursor)
    # WAL with FULL syncs at every commit: a 202 means the patch is on the disk.
    # NORMAL could lose it with the power.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _into_wal(cursor: sqlite3.Cursor) -> None:
    """Processes that meet on a fresh file refuse one another here at once: this
    pragma knows no busy timeout.
    """
    give_up_at = time.monotonic() + _WAL_PATIENCE_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    # A writer takes the write lock at once: upgrading a read transaction later
    # fails instead of waiting.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
