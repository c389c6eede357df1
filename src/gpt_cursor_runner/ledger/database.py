"""The ledger's SQLite file: durable writes, one writer at a time, and a schema
at its newest migration.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    PoolProxiedConnection,
    Row,
    String,
    Table,
    create_engine,
    event,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

LEDGER_NAME = "ledger.sqlite3"
MIGRATIONS = Path(__file__).parent / "migrations"

_READ_ONLY = "gcr_read_only"
_WAL_TIMEOUT_SECONDS = 2.0
_ROWS_PER_DELETE = 500
# SQLite has no queue for its write lock: other writers need a moment in which
# it is free.
_PAUSE_BETWEEN_DELETES_SECONDS = 0.02
# Alembic keeps this table. It is declared here because importing Alembic takes
# longer than most commands run.
_revisions = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Record = TypeVar("Record", bound=_Dataclass)


class NewerSchema(SQLAlchemyError):
    """A newer version of this program migrated the ledger; this one must not
    write to it.
    """


class Database:
    """Transactions on the ledger, each on a pooled connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reading_engine = engine.execution_options(**{_READ_ONLY: True})

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the ledger and never waits for a
        writer.
        """
        return self._reading_engine.begin()

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that holds the write lock from its first moment. It is
        on the disk when the block ends; an exception rolls it back.
        """
        return self.engine.begin()

    def raw_connection(self) -> PoolProxiedConnection:
        """The driver's own connection, in no transaction."""
        return self.engine.raw_connection()

    def close(self) -> None:
        self.engine.dispose()


def open_database(directory: Path, busy_seconds: float) -> Database:
    """Open the ledger in `directory`. A writer waits `busy_seconds` for another
    writer before it fails.
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
    return Database(engine)


def migrate(database: Database) -> None:
    """Migrate the schema to the newest revision; a single read when it is
    there already.

    Raises NewerSchema when the ledger has a revision that this version of the
    program does not have.
    """
    newest = newest_revision()
    revision = _revision(database)
    if revision == newest:
        return
    if revision is not None and revision > newest:
        raise NewerSchema(
            f"the ledger has schema {revision}, written by a newer version of this program;"
            f" this version supports schemas up to {newest}"
        )
    # Imported here because it takes longer than most commands run, and is
    # needed once in the life of a schema.
    import alembic.command
    import alembic.config

    settings = alembic.config.Config()
    # Alembic reads its settings through configparser, which interpolates "%".
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with database.write() as connection:
        settings.attributes["connection"] = connection
        alembic.command.upgrade(settings, newest)


def newest_revision() -> str:
    """The revision of the newest migration, from the name of its file."""
    names = [file.name for file in (MIGRATIONS / "versions").glob("[0-9]*.py")]
    return max(names).partition("_")[0]


def delete_in_pieces(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete the rows of `table` that meet `condition`, in transactions that
    hold the write lock only briefly; returns the number of deleted rows.
    """
    primary_key = table.primary_key.columns
    piece = select(*primary_key).where(condition).limit(_ROWS_PER_DELETE)
    deletion = table.delete().where(tuple_(*primary_key).in_(piece))
    deleted = 0
    while True:
        with database.write() as connection:
            count = connection.execute(deletion).rowcount
        deleted += count
        if count < _ROWS_PER_DELETE:
            return deleted
        time.sleep(_PAUSE_BETWEEN_DELETES_SECONDS)


def from_row(kind: type[Record], row: Row[Any], **converted: object) -> Record:
    """Build the dataclass `kind` from the columns named like its fields.
    `converted` holds fields whose type is not the column's.
    """
    # Not `dataclasses.fields`, which builds a tuple at every call: this runs for
    # every event when the chain is verified.
    values = {name: getattr(row, name) for name in kind.__dataclass_fields__}
    return kind(**{**values, **converted})


def _revision(database: Database) -> str | None:
    with database.read() as connection:
        if not inspect(connection).has_table(_revisions.name):
            return None
        return connection.execute(select(_revisions.c.version_num)).scalar()


def _prepare_connection(connection: sqlite3.Connection, _: Any) -> None:  # noqa: ANN401  SQLAlchemy's record
    # The driver would begin deferred transactions by itself; `_begin` decides
    # between BEGIN and BEGIN IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    _set_wal_mode(cursor)
    # With FULL, WAL is synced at every commit, so that an accepted patch is on
    # the disk. NORMAL could lose it when the power fails.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _set_wal_mode(cursor: sqlite3.Cursor) -> None:
    # This pragma ignores the busy timeout: processes that open a fresh file at
    # the same time fail at once, so they retry here.
    give_up_at = time.monotonic() + _WAL_TIMEOUT_SECONDS
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
    # A write transaction takes the write lock at once: to upgrade a read
    # transaction later fails with "database is locked" instead of waiting.
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
