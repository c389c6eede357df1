"""The embedded engine: one runner per state directory, which claims patches
from the SQLite ledger itself.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
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

    def recover(self, at_work: Collection[str] = ()) -> list[str]:
        """Queue again the patches on which no runner works; their ids. `at_work`
        are those of this runner.
        """

    def claim(self, is_ready: Callable[[str], bool]) -> StoredPatch | None:
        """The next patch, claimed for this runner, or None when none is
        claimable. `is_ready` returns whether patches for the repository of that
        name may be claimed.
        """

    def confirm(self, claim: StoredPatch) -> None:
        """Raise LeaseLost or CancelAsked when the work on this patch must stop."""

    def wait(self, seconds: float) -> None:
        """Return when a patch may be claimable, after `seconds` at the latest."""

    def wake(self) -> None:
        """End the wait of another thread, or its next one."""


@dataclass
class EmbeddedEngine:
    """Needs the exclusive lock on the state directory (`runner_lock.py`), whose
    holder is the only claimant.

    That lock and the beat beside it prove that the runner is alive. The ledger
    is therefore not written while it is idle or while a check runs.
    """

    ledger: Ledger
    runner_id: str
    sleep: Callable[[float], object] = field(init=False)
    _poll_connection: PoolProxiedConnection | None = None
    _data_version: int = -1
    _woken: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.sleep = self._woken.wait

    def recover(self, at_work: Collection[str] = ()) -> list[str]:
        # A runner that claims in this directory holds its lock. This runner
        # holds the lock now, so every other patch that runs was left by a lost
        # one, or by a write of ours that failed.
        return self.ledger.leases.reclaim(self.ledger.clock(), at_work)

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
            if self._has_changed() or self._woken.is_set():
                break
            self.sleep(_POLL_SECONDS)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

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
