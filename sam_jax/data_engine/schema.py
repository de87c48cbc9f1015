"""The tables of the database: photos, people, models and their versions, masks, changes that people made, and checks.

What makes the tables is in `migrations`; this is what the code of today reads and writes. Times are seconds since 1970.
"""

from enum import IntEnum, StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)


class Stage(IntEnum):
    """Where a mask comes from: a stage of the paper's data engine, or another data set."""

    IMPORTED = 0
    ASSISTED_MANUAL = 1
    SEMI_AUTOMATIC = 2
    FULLY_AUTOMATIC = 3


class MaskState(StrEnum):
    """What has become of a mask."""

    PREFILLED = "prefilled"
    """Nobody has looked at it yet."""
    DRAFT = "draft"
    """Somebody is at work on it."""
    DONE = "done"
    SKIPPED = "skipped"
    """It took too long: the paper's 30 seconds."""
    REMOVED = "removed"


class Verdict(StrEnum):
    """What a person made of a mask that was there before."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"


metadata = MetaData()

settings = Table(
    "settings",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("since", Double, nullable=False),
)
models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("since", Double, nullable=False),
    Column("numbers", Text, nullable=False),
)
photos = Table(
    "photos",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("height", Integer),
    Column("width", Integer),
    Column("file_size", BigInteger),
    Column("modified_ns", BigInteger),
    Column("problem", Text),
    Column("finished_at", Double),
    Column("finished_by", ForeignKey("people.id")),
    Column("last_change", Integer, nullable=False),
    Column("lease", String(32)),
    Column("leased_by", ForeignKey("people.id")),
    Column("leased_until", Double, nullable=False),
)
masks = Table(
    "masks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("photo_id", ForeignKey("photos.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("model_id", ForeignKey("models.id")),
    Column("person_id", ForeignKey("people.id")),
    Column("verdict", String(10)),
    Column("label", String(200), nullable=False),
    Column("counts", Text),
    Column("area", BigInteger, nullable=False),
    Column("box", Text),
    Column("prompt", Text),
    Column("predicted_iou", Double),
    Column("clicks", Integer, nullable=False),
    Column("strokes", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index("masks_of_photo", "photo_id", "state"),
)
changes = Table(
    "changes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("photo_id", ForeignKey("photos.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("mask_id", String(32), nullable=False),
    Column("person_id", ForeignKey("people.id")),
    Column("kind", String(20), nullable=False),
    Column("at", Double, nullable=False),
    Column("is_undone", Boolean, nullable=False),
    Column("other", Text),
    UniqueConstraint("photo_id", "number", name="changes_of_photo"),
)
versions = Table(
    "versions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("model_id", ForeignKey("models.id")),
    Column("weights", Text, nullable=False),
    Column("origin", ForeignKey("versions.number")),
    Column("begun_at", Double, nullable=False),
    Column("made_at", Double),
    Column("photos", Integer),
    Column("masks", Integer),
    Column("settings", Text),
    Column("numbers", Text),
    Column("in_use", Boolean, nullable=False),
)
checks = Table(
    "checks",
    metadata,
    Column("photo_id", ForeignKey("photos.id"), primary_key=True),
    Column("since", Double, nullable=False),
)
