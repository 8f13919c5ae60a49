"""The entry point for Alembic. Runs in the transaction that the caller has begun."""

from alembic import context

from adapters.sql import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
