"""Who asks: `Authorization: Bearer gcr_<id>_<secret>`, and what that key may do."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from flask import g, request
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.keys import Key, KeyStore

# A verified key is believed this long without another look, so a revoked one is refused within a second.
_BELIEVED_SECONDS = 0.5
_MAX_REMEMBERED = 256

_ANYBODY = Key("", "anybody on this machine", frozenset({"submit", "read", "approve"}), 0.0)


class Authority:
    """Tells the key behind a request. `open_door` lets everybody in, which only a loopback gateway may do."""

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
        """The key of this request; raise a 401 or 403 Problem unless it may do `scope`."""
        try:
            key = self.key()
        except SQLAlchemyError as trouble:
            raise Problem(
                503, "ledger_unavailable", "The ledger cannot be read now. Try again.", headers={"Retry-After": "5"}
            ) from trouble
        if key is None:
            raise Problem(
                401,
                "no_key",
                "Send 'Authorization: Bearer gcr_…' with a live key; `gcr key create` makes one.",
                headers={"WWW-Authenticate": 'Bearer realm="gcr"'},
            )
        if not key.allows(scope):
            raise Problem(403, "scope_missing", f"This key may not {scope}; it needs the scope '{scope}'.")
        g.key = key
        return key

    def may_read(self) -> bool:
        """Whether this request carries a key that may read details; never raises."""
        try:
            key = self.key()
        except SQLAlchemyError:
            return False
        return key is not None and key.allows("read")
