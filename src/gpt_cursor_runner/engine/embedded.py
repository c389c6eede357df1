"""The embedded engine: one runner per state directory, which claims patches
from the SQLite ledger itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import PoolProxiedConnection

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch

# SQLite changes data_version when another connection commits. Reading it costs
# microseconds, so that a new patch is noticed well within 50 ms while an idle
# runner uses some thousandths of a core.
_POLL_SECONDS = 0.02


def _always(_: str) -> bool:
    return True


class Engine(Protocol):
    """Decides which patch a runner works on, and when it should look again."""

    def recover(self) -> list[str]:
        """Queue again the patches of lost runners; their ids."""

    def claim(self, is_ready: Callable[[str], bool]) -> StoredPatch | None:
        """The next patch, claimed for this runner, or None when none is
        claimable. `is_ready` returns whether patches for the repository of that
        name may be claimed.
        """

    def confirm(self, claim: StoredPatch) -> None:
        """Raise LeaseLost or CancelAsked when the work on this patch must stop."""

    def wait(self, seconds: float) -> None:
        """Return when a patch may be claimable, after `seconds` at the latest."""


@dataclass
class EmbeddedEngine:
    """Needs the exclusive lock on the state directory (`runner_lock.py`), whose
    holder is the only claimant.

    That lock and the beat beside it prove that the runner is alive. The ledger
    is therefore not written while it is idle or while a check runs.
    """

    ledger: Ledger
    runner_id: str
    sleep: Callable[[float], None] = time.sleep
    _poll_connection: PoolProxiedConnection | None = None
    _data_version: int = -1

    def recover(self) -> list[str]:
        # A runner that claims in this directory holds its lock. This runner
        # holds the lock now, so every patch that runs was left by a lost one.
        return self.ledger.leases.reclaim(self.ledger.clock())

    def claim(self, is_ready: Callable[[str], bool] = _always) -> StoredPatch | None:
        now = self.ledger.clock()
        blocked: set[str] = set()
        while True:
            name = self.ledger.leases.next_repository(now, blocked)
            if name is None:
                return None
            if is_ready(name):
                return self.ledger.leases.claim(self.runner_id, now, blocked)
            blocked.add(name)

    def confirm(self, claim: StoredPatch) -> None:
        self.ledger.leases.confirm(claim)

    def wait(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / _POLL_SECONDS))):
            if self._has_changed():
                return
            self.sleep(_POLL_SECONDS)

    def _has_changed(self) -> bool:
        if self._poll_connection is None:
            # The driver's own connection, because the pragma does not change
            # within a transaction.
            self._poll_connection = self.ledger.database.raw_connection()
        try:
            cursor = self._poll_connection.cursor()
            data_version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
            cursor.close()
        except sqlite3.Error:
            # Reported as a change: the claim that follows meets the same error
            # and reports it.
            self._poll_connection.invalidate()
            self._poll_connection = None
            self.sleep(_POLL_SECONDS)
            return True
        has_changed = data_version != self._data_version
        self._data_version = data_version
        return has_changed
