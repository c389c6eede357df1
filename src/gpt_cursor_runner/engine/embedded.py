"""The embedded engine: one runner per state directory, claiming straight from
the SQLite ledger.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import PoolProxiedConnection

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.stored import Stored

LEASE_SECONDS = 30.0
# SQLite bumps data_version when another connection commits; asking costs
# microseconds, so a new patch is seen well within 50 ms while an idle runner
# uses some thousandths of a core.
_GLANCE_SECONDS = 0.02


class Engine(Protocol):
    """Decides which patch a runner works on, and when it should look again."""

    def recover(self) -> list[str]:
        """Take back what lost runners held; the ids of those patches."""

    def claim(self) -> Stored | None:
        """The next patch, leased to this runner, or None when there is nothing
        to do.
        """

    def renew(self, claim: Stored) -> None:
        """Keep the lease; raise LeaseLost or CancelAsked when the work must
        stop.
        """

    def wait(self, seconds: float) -> None:
        """Return when there may be something to claim, after `seconds` at the
        latest.
        """


@dataclass
class EmbeddedEngine:
    """Needs the runner's exclusive lock on the state directory (`presence.py`):
    its holder is the only claimant.
    """

    ledger: Ledger
    runner_id: str
    sleep: Callable[[float], None] = time.sleep
    _watch: PoolProxiedConnection | None = None
    _seen_version: int = -1

    def recover(self) -> list[str]:
        # Whoever held a lease in this directory held the lock too, and we hold
        # that now: nobody else is at work.
        return self.ledger.leases.reclaim(self.ledger.clock(), everything=True)

    def claim(self) -> Stored | None:
        now = self.ledger.clock()
        if not self.ledger.leases.something_waits(now):
            return None
        return self.ledger.leases.claim(self.runner_id, now, LEASE_SECONDS)

    def renew(self, claim: Stored) -> None:
        self.ledger.leases.renew(claim, self.ledger.clock(), LEASE_SECONDS)

    def wait(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / _GLANCE_SECONDS))):
            if self._changed():
                return
            self.sleep(_GLANCE_SECONDS)

    def _changed(self) -> bool:
        if self._watch is None:
            # The driver's own connection: the pragma must be asked outside of
            # any transaction.
            self._watch = self.ledger.database.raw_connection()
        try:
            cursor = self._watch.cursor()
            version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
            cursor.close()
        except sqlite3.Error:
            # What is wrong will show, under its own name, to whoever looks into
            # the ledger next.
            self._watch.invalidate()
            self._watch = None
            self.sleep(_GLANCE_SECONDS)
            return True
        changed = version != self._seen_version
        self._seen_version = version
        return changed
