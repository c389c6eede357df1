"""The tables of the ledger. Invariants are indexes and checks of the database,
so that every code path keeps them.

All times are seconds since the epoch, in UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from gpt_cursor_runner.patch.status import Status

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the key is plain INTEGER.
_RowNumber = BigInteger().with_variant(Integer, "sqlite")
_UNREPORTED = text("reported_at IS NULL")
_QUEUED = text("status = 'queued'")
_OPEN = text("closed_at IS NULL")
_OWED = text("delivered_at IS NULL AND given_up_at IS NULL")
_STATUSES = ", ".join(f"'{status}'" for status in Status)

patches = Table(
    "patches",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("repository", String(100), nullable=False),
    Column("branch", String(250), nullable=False),
    Column("title", Text, nullable=False),
    Column("version", String(128)),
    Column("phase", String(128)),
    Column("priority", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("submitted_by", String(100), nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # The lease: the runner that works on the patch, and the fencing token that
    # each of its writes must carry.
    Column("token", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("leased_by", String(100)),
    Column("not_before", Float, nullable=False, server_default="0"),
    Column("cancel_asked_by", String(100)),
    Column("approved_by", String(100)),
    Column("outcome", JSON),
    # When the report of the present state was written. Every move clears it, so
    # that the new state gets a report of its own.
    Column("reported_at", Float),
    CheckConstraint(f"status IN ({_STATUSES})", name="known_status"),
    CheckConstraint("(status = 'running') = (leased_by IS NOT NULL)", name="lease_means_running"),
    Index(
        "uq_patches_one_running_per_branch",
        "repository",
        "branch",
        unique=True,
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
    Index("ix_patches_claim", "status", "priority", "seq"),
    Index("ix_patches_phase", "phase"),
    # Covers the queries of the queue's facts, so that they read no rows, which
    # hold the patches' bodies. The status is the same in every entry, but
    # without it as first column SQLite chooses another index and sorts.
    Index(
        "ix_patches_waiting",
        "status",
        "seq",
        "repository",
        "branch",
        "not_before",
        "accepted_at",
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    ),
    Index(
        "ix_patches_unreported",
        "status",
        "seq",
        sqlite_where=_UNREPORTED,
        postgresql_where=_UNREPORTED,
    ),
    Index("ix_patches_updated", "status", "updated_at"),
    Index("ix_patches_version", "version"),
)

events = Table(
    "events",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=True),
    Column("patch_id", String(128), ForeignKey("patches.id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor", String(100), nullable=False),
    Column("data", JSON, nullable=False),
    # Unique, so that the chain cannot fork even if two writers read the same
    # last event.
    Column("previous", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("patch_id", String(128), ForeignKey("patches.id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("key_id", String(32)),
    Column("content_type", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha256", String(64), nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", String(100), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

# The four tables of health: changes of state, incidents, alerts to send, and the
# seconds spent in each state. `subject` is the name of a check, `overall` or
# `gateway`.
flips = Table(
    "flips",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False, index=True),
    Column("subject", String(60), nullable=False),
    Column("status", String(16), nullable=False),
    Column("code", String(60), nullable=False),
    Column("before_status", String(16)),
    Column("before_code", String(60)),
    # Not a foreign key: a flip and its incident are deleted at different ages.
    Column("incident_id", String(32)),
    Column("instance_id", String(32), nullable=False),
    Index("ix_flips_subject_seq", "subject", "seq"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("subject", String(60), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("code", String(60), nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("closed_at", Float, index=True),
    # The subject whose trouble caused this one. While it is set, no alerts are
    # sent for this incident. The time is that of the last alert.
    Column("muted_by", String(60)),
    Column("reminded_at", Float, nullable=False),
    CheckConstraint("severity IN ('warning', 'critical')", name="known_severity"),
    Index(
        "uq_incidents_one_open_per_subject",
        "subject",
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _RowNumber, primary_key=True, autoincrement=True),
    # Sent along with the alert; the receiver recognises a repeat by it.
    Column("key", String(100), nullable=False, unique=True),
    Column("sink", String(60), nullable=False),
    Column("incident_id", String(32), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("subject", String(60), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # The start of the first attempt to send it. From then on the sink may have
    # received it, even if every attempt failed.
    Column("begun_at", Float),
    Column("delivered_at", Float),
    Column("given_up_at", Float),
    Column("trouble", Text),
    CheckConstraint("kind IN ('trigger', 'resolve', 'reminder', 'flapping')", name="known_kind"),
    CheckConstraint("delivered_at IS NULL OR given_up_at IS NULL", name="one_end"),
    Index("ix_outbox_owed", "sink", "subject", "seq", sqlite_where=_OWED, postgresql_where=_OWED),
)

observations = Table(
    "observations",
    metadata,
    # In seconds, from `start` on: a minute or an hour.
    Column("length", Integer, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    # {subject: [ok, warn, fail, unknown]}, the seconds in each state.
    Column("seconds", JSON, nullable=False),
    CheckConstraint("length IN (60, 3600)", name="known_length"),
)
