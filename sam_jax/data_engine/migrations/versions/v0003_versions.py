"""Versions of the model: where their weights are, what they were trained on and measured with, and which is in use."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, without a version: the next start of the server begins with the weights that it is given."""
    op.create_table(
        "versions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id")),
        sa.Column("weights", sa.Text, nullable=False),
        sa.Column("origin", sa.Integer, sa.ForeignKey("versions.number")),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("made_at", sa.Double),
        sa.Column("photos", sa.Integer),
        sa.Column("masks", sa.Integer),
        sa.Column("settings", sa.Text),
        sa.Column("numbers", sa.Text),
        sa.Column("in_use", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drop the table; the weights stay where they are."""
    op.drop_table("versions")
