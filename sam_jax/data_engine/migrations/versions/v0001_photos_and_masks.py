"""Photos, people, models, masks, and the changes that people made."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "settings",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("since", sa.Double, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("numbers", sa.Text, nullable=False),
    )
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        sa.Column("height", sa.Integer),
        sa.Column("width", sa.Integer),
        sa.Column("file_size", sa.BigInteger),
        sa.Column("modified_ns", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.Column("finished_at", sa.Double),
        sa.Column("finished_by", sa.Integer, sa.ForeignKey("people.id")),
        sa.Column("last_change", sa.Integer, nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("leased_by", sa.Integer, sa.ForeignKey("people.id")),
        sa.Column("leased_until", sa.Double, nullable=False),
    )
    op.create_table(
        "masks",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id")),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id")),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("counts", sa.Text),
        sa.Column("area", sa.BigInteger, nullable=False),
        sa.Column("box", sa.Text),
        sa.Column("prompt", sa.Text),
        sa.Column("predicted_iou", sa.Double),
        sa.Column("clicks", sa.Integer, nullable=False),
        sa.Column("strokes", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_index("masks_of_photo", "masks", ["photo_id", "state"])
    op.create_table(
        "changes",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("mask_id", sa.String(32), nullable=False),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("people.id")),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("is_undone", sa.Boolean, nullable=False),
        sa.Column("other", sa.Text),
        sa.UniqueConstraint("photo_id", "number", name="changes_of_photo"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("changes", "masks", "photos", "models", "people", "settings"):
        op.drop_table(table)
