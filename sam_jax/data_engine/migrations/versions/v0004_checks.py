"""Photos whose automatic masks people correct, to measure those masks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table, without photos."""
    op.create_table(
        "checks",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id"), primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the table; the photos stay as they are."""
    op.drop_table("checks")
