"""Where a run reads and writes: local folders and buckets, with files and folders that appear whole or not at all."""

from sam_jax.storage.buckets import BucketPath, exists, is_folder, locate, to_local
from sam_jax.storage.whole import (
    NO_SPACE,
    UNFINISHED,
    atomic_file,
    atomic_folder,
    copy_file,
    explaining,
    files_together,
    have_same_content,
    make_folder,
    remove_folder,
    remove_leftovers,
    remove_leftovers_of,
    resumable_file,
    write_json,
    write_text,
)

__all__ = [
    "NO_SPACE",
    "UNFINISHED",
    "BucketPath",
    "atomic_file",
    "atomic_folder",
    "copy_file",
    "exists",
    "explaining",
    "files_together",
    "have_same_content",
    "is_folder",
    "locate",
    "make_folder",
    "remove_folder",
    "remove_leftovers",
    "remove_leftovers_of",
    "resumable_file",
    "to_local",
    "write_json",
    "write_text",
]
