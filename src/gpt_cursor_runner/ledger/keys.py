"""Keys: 256 random bits each, shown once, hashed at rest, with scopes and an
end.

The secret is random, so a plain SHA-256 is as good as a slow hash and costs the
request nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select, update

from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.schema import keys

SCOPES = ("submit", "read", "approve", "admin")
_TEXT = re.compile(r"gcr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


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
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def to_json(self) -> dict[str, Any]:
        times = {name: getattr(self, name) for name in ("created_at", "expires_at", "revoked_at")}
        return {"id": self.id, "name": self.name, "scopes": sorted(self.scopes), **times}


class KeyStore:
    """Keys in the ledger. Every time is passed in, as epoch seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scopes: Sequence[str], now: float, expires_at: float | None = None
    ) -> tuple[Key, str]:
        """A new key and its text `gcr_<id>_<secret>`, which is nowhere else."""
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes:
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

    def find(self, text: str, now: float) -> Key | None:
        """The live key of this text, compared in constant time; None for any
        other text.
        """
        key_id, secret_sha256 = split_key(text)
        with self._database.read() as connection:
            row = connection.execute(select(keys).where(keys.c.id == key_id)).first()
        same = hmac.compare_digest(row.secret_sha256 if row else _hash("nobody"), secret_sha256)
        return _key(row) if row is not None and same and _key(row).is_live(now) else None

    def list(self) -> list[Key]:
        """Every key, revoked ones too, the oldest first."""
        with self._database.read() as connection:
            return [
                _key(row) for row in connection.execute(select(keys).order_by(keys.c.created_at))
            ]

    def unrevoked(self) -> dict[str, tuple[Key, str]]:
        """By its id, every key that was not revoked, and the hash of its
        secret; whether it ended is the reader's.
        """
        with self._database.read() as connection:
            rows = connection.execute(select(keys).where(keys.c.revoked_at.is_(None)))
            return {row.id: (_key(row), row.secret_sha256) for row in rows}

    def any_live(self, now: float) -> bool:
        """Whether anybody could get in."""
        live = keys.c.revoked_at.is_(None) & or_(
            keys.c.expires_at.is_(None), keys.c.expires_at > now
        )
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(live)).scalar_one() > 0

    def revoke(self, key_id: str, now: float) -> bool:
        """Whether there was a live key of that id; it opens nothing from now on."""
        mine = (keys.c.id == key_id) & keys.c.revoked_at.is_(None)
        with self._database.write() as connection:
            return connection.execute(update(keys).where(mine).values(revoked_at=now)).rowcount == 1

    def forget(self, key_id: str) -> None:
        """Remove a key that was made for one passing use."""
        with self._database.write() as connection:
            connection.execute(keys.delete().where(keys.c.id == key_id))

    def expire(self, key_id: str, at: float) -> None:
        """Let a key end at a moment, or earlier where it was to end earlier."""
        later = or_(keys.c.expires_at.is_(None), keys.c.expires_at > at)
        with self._database.write() as connection:
            connection.execute(update(keys).where(keys.c.id == key_id, later).values(expires_at=at))


def split_key(text: str) -> tuple[str, str]:
    """The id in a key's text and the hash of its secret; for any other text the
    same work and an id of nobody.
    """
    match = _TEXT.fullmatch(text)
    key_id, secret = match.groups() if match else ("", "")
    return key_id, _hash(secret)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row[Any]) -> Key:
    return from_row(Key, row, scopes=frozenset(row.scopes.split()))
