"""Who asks: `Authorization: Bearer gcr_<id>_<secret>`, and what that key may do."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

import structlog
from flask import g, request
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.keys import Key, KeyStore, split_key
from gpt_cursor_runner.system.periodic import PeriodicThread

log = structlog.get_logger()

# A verified key is believed this long without another look, so a revoked one is
# refused within a second.
_BELIEVED_SECONDS = 0.5
_MAX_REMEMBERED = 256
# A look costs the ledger one read of a small table.
_LOOK_SECONDS = 1.0

_ANYBODY = Key("", "anybody on this machine", frozenset({"submit", "read", "approve"}), 0.0)
# No secret has this for its hash.
_NOBODY = (Key("", "nobody", frozenset(), 0.0), "0" * 64)


def no_key() -> Problem:
    """Who asks brought no key that is known here."""
    detail = "Send 'Authorization: Bearer gcr_…' with a live key; `gcr key create` makes one."
    return Problem(401, "no_key", detail, headers={"WWW-Authenticate": 'Bearer realm="gcr"'})


def scope_missing(scope: str) -> Problem:
    """Who asks is known, and may not do this."""
    return Problem(403, "scope_missing", f"This key may not {scope}; it needs the scope '{scope}'.")


class Authority:
    """Tells the key behind a request. `open_door` lets everybody in, which only
    a loopback gateway may do.
    """

    def __init__(self, keys: KeyStore, clock: Callable[[], float], open_door: bool = False) -> None:
        self._keys, self._clock, self._open = keys, clock, open_door
        self._believed: dict[bytes, tuple[Key, float]] = {}

    def key(self) -> Key | None:
        """The key this request carries, or None; a wrong key is no key."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            return _ANYBODY if self._open else None
        mark, now = hashlib.sha256(text.strip().encode()).digest(), time.monotonic()
        key, until = self._believed.get(mark, (None, 0.0))
        if key is None or now > until:
            key = self._keys.find(text.strip(), self._clock())
            if key is not None:
                if len(self._believed) >= _MAX_REMEMBERED:
                    self._believed = {}
                self._believed[mark] = (key, now + _BELIEVED_SECONDS)
        return key or (_ANYBODY if self._open else None)

    def require(self, scope: str) -> Key:
        """The key of this request; raise a 401 or 403 Problem unless it may do
        `scope`.
        """
        try:
            key = self.key()
        except SQLAlchemyError as trouble:
            raise Problem(
                503,
                "ledger_unavailable",
                "The ledger cannot be read now. Try again.",
                headers={"Retry-After": "5"},
            ) from trouble
        if key is None:
            raise no_key()
        if not key.allows(scope):
            raise scope_missing(scope)
        g.key = key
        return key


class Ring:
    """The keys in memory, for who must tell a key without asking the ledger:
    health answers also when that hangs.

    The ring is as old as its last look at the ledger; while that cannot be
    read, the last keys seen stay good.
    """

    def __init__(self, keys: KeyStore, clock: Callable[[], float], open_door: bool = False) -> None:
        self._keys, self._clock, self._open = keys, clock, open_door
        self._held: Mapping[str, tuple[Key, str]] = {}
        self._unreadable = False
        self._rounds = PeriodicThread("key-ring", self._turn, join_seconds=0.0)

    def start(self) -> None:
        """Look now, and from now on in a thread."""
        self._rounds.start()

    def stop(self) -> None:
        self._rounds.stop()

    def look(self) -> None:
        """Take the keys as the ledger has them."""
        try:
            self._held = self._keys.unrevoked()
            self._unreadable = False
        except Exception as trouble:  # noqa: BLE001  the thread's edge: without it a revoked key would stay good
            if not self._unreadable:  # one line for one trouble, however long it lasts
                log.warning("keys_unreadable", reason=str(trouble)[:300])
            self._unreadable = True

    def key(self, authorization: str) -> Key | None:
        """The live key of an `Authorization` header, or None. The same work
        whether it is missing, wrong or right.
        """
        scheme, _, text = authorization.partition(" ")
        key_id, secret_sha256 = split_key(text.strip())
        key, known_sha256 = self._held.get(key_id, _NOBODY)
        good = hmac.compare_digest(known_sha256, secret_sha256) and scheme.lower() == "bearer"
        return key if good and key.is_live(self._clock()) else _ANYBODY if self._open else None

    def may_read(self, authorization: str) -> bool:
        """Whether this header carries a key that may read details."""
        key = self.key(authorization)
        return key is not None and key.allows("read")

    def _turn(self) -> float:
        self.look()
        return _LOOK_SECONDS
