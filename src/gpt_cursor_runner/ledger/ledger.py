"""The ledger as one thing to hand around, its parts named for what they are
used for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from sqlalchemy import text

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.decisions import Decisions
from gpt_cursor_runner.ledger.facts import QueueFacts, read_queue
from gpt_cursor_runner.ledger.history import History
from gpt_cursor_runner.ledger.intake import Intake
from gpt_cursor_runner.ledger.keys import KeyStore
from gpt_cursor_runner.ledger.leases import Leases
from gpt_cursor_runner.ledger.outbox import Outbox
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.ledger.schema import keys


class Ledger:
    """All parts of the ledger on one database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.clock = clock
        self.intake = Intake(database)
        self.leases = Leases(database)
        self.decisions = Decisions(database)
        self.queries = Queries(database)
        self.keys = KeyStore(database)
        self.history = History(database)
        self.outbox = Outbox(database)

    def probe_write(self) -> None:
        """Write a row and roll it back; raise what the database raises when it
        cannot take writes.
        """
        with self.database.engine.connect() as connection:
            probe = {
                "id": secrets.token_hex(16),
                "name": "probe",
                "secret_sha256": "",
                "scopes": "",
            }
            connection.execute(keys.insert().values(**probe, created_at=self.clock()))
            connection.rollback()

    def queue_facts(self, now: float | None = None) -> QueueFacts:
        """How the queue stands; `now` is the ledger's clock unless it is given."""
        with self.database.read() as connection:
            return read_queue(connection, self.clock() if now is None else now)

    def first_broken_link(self) -> events.Event | None:
        """Recompute the chain of events; the first one that does not follow, or
        None.
        """
        with self.database.read() as connection:
            return events.first_broken_link(connection)

    def settings(self) -> dict[str, int | str]:
        """The durability settings as a live connection has them."""
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        with self.database.read() as connection:
            return {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names}

    def close(self) -> None:
        self.database.close()
