"""The parts of the ledger together, on one database."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection

from sqlalchemy import text

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.alerts import AlertStore
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.keys import KeyStore
from gpt_cursor_runner.ledger.moves import Decisions, Leases
from gpt_cursor_runner.ledger.patches import Intake
from gpt_cursor_runner.ledger.queries import Queries, QueueFacts
from gpt_cursor_runner.ledger.schema import keys
from gpt_cursor_runner.ledger.uptime import UptimeStore


class Ledger:
    """All parts of the ledger. `clock` returns epoch seconds."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.intake = Intake(database)
        self.leases = Leases(database)
        self.decisions = Decisions(database)
        self.queries = Queries(database)
        self.keys = KeyStore(database)
        self.alerts = AlertStore(database)
        self.uptime = UptimeStore(database)

    def probe_write(self) -> None:
        """Write a row and roll it back; raises the database's error when the
        ledger rejects writes.
        """
        row = {
            "id": secrets.token_hex(16),
            "name": "probe",
            "secret_sha256": "",
            "scopes": "",
            "created_at": self.clock(),
        }
        with self.database.engine.connect() as connection:
            connection.execute(keys.insert().values(row))
            connection.rollback()

    def queue_facts(self, now: float | None = None, blocked: Collection[str] = ()) -> QueueFacts:
        """The state of the queue at `now`, by default the ledger's clock."""
        return self.queries.queue_facts(self.clock() if now is None else now, blocked)

    def first_broken_link(self) -> events.Event | None:
        """Recompute the chain of events: the first event that does not follow
        from the one before it, or None.
        """
        with self.database.read() as connection:
            return events.first_broken_link(connection)

    def settings(self) -> dict[str, int | str]:
        """The durability settings, read from a live connection."""
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        with self.database.read() as connection:
            return {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names}

    def close(self) -> None:
        self.database.close()
