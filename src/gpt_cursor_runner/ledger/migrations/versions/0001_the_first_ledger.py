"""The first ledger"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_keys()
    _create_patches()
    _index_patches()
    _create_deliveries()
    _create_events()


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )


def _create_patches() -> None:
    op.create_table(
        "patches",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("repository", sa.String(length=100), nullable=False),
        sa.Column("branch", sa.String(length=250), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=True),
        sa.Column("phase", sa.String(length=128), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("submitted_by", sa.String(length=100), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_by", sa.String(length=100), nullable=True),
        sa.Column("leased_until", sa.Float(), nullable=True),
        sa.Column("not_before", sa.Float(), server_default="0", nullable=False),
        sa.Column("cancel_asked_by", sa.String(length=100), nullable=True),
        sa.Column("approved_by", sa.String(length=100), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("reported_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "(status = 'running') = (leased_by IS NOT NULL)",
            name=op.f("ck_patches_lease_means_running"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'held', 'landed', 'rejected', 'failed', 'previewed',"
            " 'cancelled')",
            name=op.f("ck_patches_known_status"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_patches")),
        sa.UniqueConstraint("id", name=op.f("uq_patches_id")),
    )


def _index_patches() -> None:
    op.create_index("ix_patches_claim", "patches", ["status", "priority", "seq"], unique=False)
    op.create_index("ix_patches_phase", "patches", ["phase"], unique=False)
    op.create_index(
        "ix_patches_unreported",
        "patches",
        ["status", "seq"],
        unique=False,
        sqlite_where=sa.text("reported_at IS NULL"),
        postgresql_where=sa.text("reported_at IS NULL"),
    )
    op.create_index("ix_patches_updated", "patches", ["status", "updated_at"], unique=False)
    op.create_index("ix_patches_version", "patches", ["version"], unique=False)
    op.create_index(
        "uq_patches_one_running_per_branch",
        "patches",
        ["repository", "branch"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("patch_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=True),
        sa.Column("content_type", sa.String(length=200), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["patch_id"], ["patches.id"], name=op.f("fk_deliveries_patch_id_patches")
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_patch_id"), "deliveries", ["patch_id"], unique=False)


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("patch_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["patch_id"], ["patches.id"], name=op.f("fk_events_patch_id_patches")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("digest", name=op.f("uq_events_digest")),
        sa.UniqueConstraint("previous", name=op.f("uq_events_previous")),
    )
    op.create_index(op.f("ix_events_patch_id"), "events", ["patch_id"], unique=False)
