"""Keys: 256 random bits each, shown once and stored as a hash, with scopes and
an end.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select, update

from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.schema import keys

SCOPES = ("submit", "read", "approve", "admin")
_KEY_TEXT = re.compile(r"gcr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Key:
    """A key without its secret. `admin` includes every other scope."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def allows(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def is_live(self, now: float) -> bool:
        has_expired = self.expires_at is not None and now >= self.expires_at
        return self.revoked_at is None and not has_expired

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "scopes": sorted(self.scopes),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
        }


# Compared instead of a key that does not exist; no secret has this hash.
_ABSENT = (Key("", "", frozenset(), created_at=0.0), "0" * 64)


class KeyStore:
    """The keys in the ledger. Times are epoch seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scopes: Sequence[str], now: float, expires_at: float | None = None
    ) -> tuple[Key, str]:
        """Create a key. Returns it with its text `gcr_<id>_<secret>`, which is
        not stored and cannot be read again.
        """
        if not scopes or not set(scopes) <= set(SCOPES):
            raise ValueError(f"scopes are one or more of {', '.join(SCOPES)}")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        values = {
            "id": key_id,
            "name": name,
            "scopes": " ".join(sorted(set(scopes))),
            "created_at": now,
        }
        with self._database.write() as connection:
            row = connection.execute(
                keys.insert()
                .values(**values, secret_sha256=_hash(secret), expires_at=expires_at)
                .returning(keys)
            ).one()
        return _key(row), f"gcr_{key_id}_{secret}"

    def list(self) -> list[Key]:
        """Every key, revoked ones included, the oldest first."""
        query = select(keys).order_by(keys.c.created_at)
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(query)]

    def unrevoked(self) -> dict[str, tuple[Key, str]]:
        """Every key that is not revoked, with the hash of its secret, by id.
        Expired keys are included: the caller compares `expires_at`.
        """
        with self._database.read() as connection:
            rows = connection.execute(select(keys).where(keys.c.revoked_at.is_(None)))
            return {row.id: (_key(row), row.secret_sha256) for row in rows}

    def any_live(self, now: float) -> bool:
        """Whether any key is valid at `now`."""
        live = keys.c.revoked_at.is_(None) & or_(
            keys.c.expires_at.is_(None), keys.c.expires_at > now
        )
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(live)).scalar_one() > 0

    def revoke(self, key_id: str, now: float) -> bool:
        """Revoke a key. Returns False when there is none of that id that is not
        revoked already.
        """
        unrevoked = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
        statement = update(keys).where(unrevoked).values(revoked_at=now)
        with self._database.write() as connection:
            return connection.execute(statement).rowcount == 1

    def forget(self, key_id: str) -> None:
        """Delete a key that was created for a single use."""
        with self._database.write() as connection:
            connection.execute(keys.delete().where(keys.c.id == key_id))

    def expire(self, key_id: str, at: float) -> None:
        """Let a key expire at `at`, unless it expires earlier."""
        expires_later = or_(keys.c.expires_at.is_(None), keys.c.expires_at > at)
        statement = update(keys).where(keys.c.id == key_id, expires_later).values(expires_at=at)
        with self._database.write() as connection:
            connection.execute(statement)


def match_key(unrevoked: Mapping[str, tuple[Key, str]], text: str, now: float) -> Key | None:
    """The live key of a text among those of `KeyStore.unrevoked`, or None."""
    key_id, secret_sha256 = _split(text)
    key, expected_sha256 = unrevoked.get(key_id, _ABSENT)
    # In constant time, and compared for an unknown id too, so that the time of
    # the answer reveals neither an id nor a part of a secret.
    is_same = hmac.compare_digest(expected_sha256, secret_sha256)
    if is_same and key.is_live(now):
        return key
    return None


def _split(text: str) -> tuple[str, str]:
    """The id in a key's text and the hash of its secret. A text of another form
    has the id "", which no key has.
    """
    key_id, secret = "", ""
    match = _KEY_TEXT.fullmatch(text)
    if match is not None:
        key_id, secret = match.groups()
    # Hashed in either case, so that both take the same time.
    return key_id, _hash(secret)


def _hash(secret: str) -> str:
    # A slow hash would protect nothing: the secret is random, so it cannot be
    # guessed from a list. A plain SHA-256 costs a request microseconds.
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row[Any]) -> Key:
    return from_row(Key, row, scopes=frozenset(row.scopes.split()))
