"""How the tables of the database came to be, version by version, for Alembic."""
