"""Presence without writes: a runner is alive by its lock and its beat, so the
ledger has neither runners nor the end of a lease
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_runners_beat_at"), table_name="runners")
    op.drop_table("runners")
    # SQLite 3.35 and later drop a column in place. The batch mode of Alembic
    # would copy the table and drop the old one, to which events refer.
    op.drop_column("patches", "leased_until")
