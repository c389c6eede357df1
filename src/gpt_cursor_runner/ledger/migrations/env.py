"""Alembic runs on the connection it is handed; there is no alembic.ini and no
offline mode.
"""

from alembic import context

from gpt_cursor_runner.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
with context.begin_transaction():
    context.run_migrations()
