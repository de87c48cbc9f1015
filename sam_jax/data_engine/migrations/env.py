"""Where Alembic begins: the migrations run in the connection that `Database` hands over."""

from alembic import context

from sam_jax.data_engine.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
