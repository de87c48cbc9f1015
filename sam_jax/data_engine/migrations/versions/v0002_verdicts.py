"""What a person made of a mask that was there before: the counts of the semi-automatic stage."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; masks of before have no verdict."""
    with op.batch_alter_table("masks") as masks:
        masks.add_column(sa.Column("verdict", sa.String(10)))


def downgrade() -> None:
    """Drop the column, with what is in it."""
    with op.batch_alter_table("masks") as masks:
        masks.drop_column("verdict")
