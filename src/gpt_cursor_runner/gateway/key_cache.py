"""The keys of the ledger in memory: a request needs no query, and health
answers even while the ledger hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.ledger.keys import Key, KeyStore, match_key
from gpt_cursor_runner.system.periodic import PeriodicThread

log = structlog.get_logger()

_LOOPBACK_USER = Key(
    "", "anybody on this machine", frozenset({"submit", "read", "approve"}), created_at=0.0
)


@dataclass(frozen=True)
class _Loaded:
    """By its id, every key that is not revoked and the hash of its secret."""

    keys: Mapping[str, tuple[Key, str]]
    read_at: float


class KeyCache:
    """Finds the key behind an `Authorization` header. With `require_key=False`
    every request counts as the loopback user's; only a loopback gateway may do
    that.

    `clock` is wall time, for the end of a key; `monotonic` is the cache's age.
    """

    # A revoked key is refused within this time, whatever becomes of the thread.
    TRUSTED_SECONDS = 1.0
    # Twice in that time, so that a request finds a fresh cache even when a
    # refresh is late. A refresh reads one small table.
    REFRESH_SECONDS = 0.5

    def __init__(
        self,
        store: KeyStore,
        clock: Callable[[], float],
        require_key: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._clock, self._monotonic = store, clock, monotonic
        self._default = None if require_key else _LOOPBACK_USER
        self._loaded = _Loaded({}, float("-inf"))
        self._swap = threading.Lock()
        self._unreadable = False
        self._thread = PeriodicThread("key-cache", self._refresh_in_turn, join_seconds=0.0)

    def start(self) -> None:
        """Refresh now, and from now on in a thread."""
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()

    def find(self, authorization: str) -> Key | None:
        """The live key of a header, or None. Reads the ledger when the cache is
        old or has no such key; raises SQLAlchemyError when that fails.
        """
        if not _secret_in(authorization):
            return self._default
        is_old = self._monotonic() - self._loaded.read_at > self.TRUSTED_SECONDS
        # A key that is missing here was perhaps created a moment ago.
        if is_old or self._match(authorization) is None:
            self.refresh()
        return self.cached(authorization)

    def cached(self, authorization: str) -> Key | None:
        """The live key of a header as of the last refresh, or None. Never reads
        the ledger: while it is unreadable, the last known keys stay valid.
        """
        return self._match(authorization) or self._default

    def may_read(self, authorization: str) -> bool:
        """Whether the cached key of a header has the scope `read`."""
        key = self.cached(authorization)
        return key is not None and key.allows("read")

    def refresh(self) -> None:
        """Load the keys from the ledger; raise SQLAlchemyError when it cannot
        be read.
        """
        read_at = self._monotonic()
        keys = self._store.unrevoked()
        with self._swap:
            # A slow read must not bring back a key that a later one saw revoked.
            if read_at >= self._loaded.read_at:
                self._loaded = _Loaded(keys, read_at)

    def _match(self, authorization: str) -> Key | None:
        return match_key(self._loaded.keys, _secret_in(authorization), self._clock())

    def _refresh_in_turn(self) -> float:
        try:
            self.refresh()
            self._unreadable = False
        except SQLAlchemyError as error:
            # One line for one outage, however long it lasts.
            if not self._unreadable:
                log.warning("keys_unreadable", reason=str(error)[:300])
            self._unreadable = True
        return self.REFRESH_SECONDS


def _secret_in(authorization: str) -> str:
    """The text after `Bearer`; empty for any other scheme."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    return text.strip()
