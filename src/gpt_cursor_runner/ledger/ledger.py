"""The ledger as one thing to hand around, its parts named for what they are
used for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from sqlalchemy import Engine, text

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import READ_ONLY
from gpt_cursor_runner.ledger.decisions import Decisions
from gpt_cursor_runner.ledger.facts import QueueFacts, read_queue
from gpt_cursor_runner.ledger.history import History
from gpt_cursor_runner.ledger.intake import Intake
from gpt_cursor_runner.ledger.keys import KeyStore
from gpt_cursor_runner.ledger.leases import Leases
from gpt_cursor_runner.ledger.outbox import Outbox
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.ledger.runners import Runners
from gpt_cursor_runner.ledger.schema import keys


class Ledger:
    """Everything that is kept, behind one database engine."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self.engine = engine
        self.clock = clock
        self.intake = Intake(engine)
        self.leases = Leases(engine)
        self.decisions = Decisions(engine)
        self.queries = Queries(engine)
        self.keys = KeyStore(engine)
        self.history = History(engine)
        self.outbox = Outbox(engine)
        self.runners = Runners(engine)
        self._reading_engine = engine.execution_options(**{READ_ONLY: True})

    def probe_write(self) -> None:
        """Write a row and roll it back; raise what the database raises when it
        cannot take writes.
        """
        with self.engine.connect() as connection:
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
        with self._reading_engine.begin() as connection:
            return read_queue(connection, self.clock() if now is None else now)

    def first_broken_link(self) -> events.Event | None:
        """Recompute the chain of events; the first one that does not follow, or
        None.
        """
        with self._reading_engine.begin() as connection:
            return events.first_broken_link(connection)

    def settings(self) -> dict[str, int | str]:
        """The durability settings as a live connection has them."""
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        with self._reading_engine.begin() as connection:
            return {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names}

    def close(self) -> None:
        self.engine.dispose()
