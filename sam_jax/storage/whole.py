"""Files and folders that appear whole or not at all.

What is being made lies beside its place, under a hidden name that ends in `.unfinished`, and gets its own name when it
is complete. An exception leaves no trace of it; only a killed process leaves it behind, for `remove_leftovers` to find:
the system's lock on it, which its writer holds, ends with the writer. Every writer has an unfinished file of its own:
of several processes that write one file the last one wins, and nobody ever reads a mixture.

In a bucket nothing can be renamed, but each object appears whole. What is being made for one lies on the local disk
until it is complete, and is then uploaded; of several files, the one that shows that all are there comes last.

What the disk refuses is an `InputError` where the place is to blame that a user has named (no such folder, no
permission), and a `RunError` otherwise (no space left, a broken disk).
"""

import errno
import filecmp
import glob
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sam_jax.storage.buckets import BucketPath
from sam_jax.types import InputError, RunError

try:
    import fcntl
except ImportError:  # where there are no such locks, what is left behind goes by its age
    fcntl = None

UNFINISHED = ".*.unfinished"
"""The pattern of all unfinished names."""
NO_PHOTOS = ".nomedia"
"""Name of a file that says that the pictures of its folder are no photos, as on phones."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, of a used-up quota, and of a limit on the size of files."""
_THE_PLACE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL),
)
_ALREADY_THERE = (errno.EEXIST, errno.ENOTEMPTY)
_HELD_IN_MEMORY = 1 << 24
"""Bytes of an object that wait in memory to be uploaded; more of them wait on the disk."""
_NAME_LENGTH = 50
"""Characters of a name that its unfinished name keeps: with four bytes each, it stays within the limit of 255."""
_OF_ONE_WRITER = re.compile(r"\.[0-9a-f]{12}\.unfinished$")
_DEAD_AFTER_SECONDS = 86400
_LOCKED_AFTER_SECONDS = 2
"""The time within which a writer has surely locked what it has made."""


def refuse_endless(path: Path) -> None:
    """Refuse a pipe or a device, from which reading may never end; what does not exist passes.

    Raises:
        InputError: The path is one.
    """
    if isinstance(path, BucketPath):
        return
    # A name with a null character doesn't exist either, and asking further is another error.
    if os.path.exists(path) and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a pipe or a device, not a file")


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into a line about the path.

    Raises:
        InputError: The path cannot be used: its folder is missing, it is a file, permission is denied.
        RunError: The disk is full or broken.
    """
    try:
        yield
    except OSError as error:
        if any(part.match(UNFINISHED) for part in path.parents):
            raise  # for the block that makes the folder, whose name a user knows
        kind = InputError if error.errno in _THE_PLACE else RunError
        advice = "; free some space and start again" if error.errno in NO_SPACE else ""
        raise kind(f"cannot write {path}: {error.strerror or error}{advice}") from error


@contextmanager
def atomic_file(path: Path, *, is_durable: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends, and vanishes if the block raises.

    Args:
        path: Place of the file, in a folder that exists. What is there already stays until the new file is complete.
        is_durable: Whether the content is forced onto the disk first, so that even a power cut leaves no file that
            only looks whole.

    Raises:
        InputError: The path cannot be written to.
        RunError: The disk is full or broken.
    """
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} cannot be the name of a file: it has a null character")
    if isinstance(path, BucketPath):
        with explaining(path), tempfile.SpooledTemporaryFile(_HELD_IN_MEMORY) as content:
            yield content  # pyright: ignore[reportReturnType]
            content.seek(0)
            path.upload(content)
        return
    unfinished = _name_unfinished(path)
    with explaining(path):
        if is_durable:  # large, and rare: weights
            remove_leftovers_of(path)
        if path.is_dir():  # said before anything is computed for it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        try:
            with unfinished.open("wb") as file:
                _lock(file.fileno())
                yield file
                if is_durable:
                    file.flush()
                    os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 that appears whole or not at all; the errors are those of `atomic_file`.

    Bytes of file names that are no UTF-8 are escaped.
    """
    with atomic_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that appears whole or not at all; the errors are those of `atomic_file`."""
    write_text(path, json.dumps(document) + "\n")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file.

    Args:
        source: File that exists.
        path: Place of the copy, in a folder that exists. What is there already is replaced.

    Raises:
        InputError: The path cannot be written to, or the source cannot be read.
        RunError: The disk is full or broken.
    """
    with atomic_file(path) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file)


def have_same_content(one: Path, other: Path) -> bool:
    """Whether two files exist and have the same bytes."""
    try:
        if not isinstance(one, BucketPath) and not isinstance(other, BucketPath):
            return filecmp.cmp(one, other, shallow=False)
        return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
    except OSError:
        return False


@contextmanager
def resumable_file(path: Path) -> Iterator[Path]:
    """A file that several runs may need to complete: it gets its name when the block ends.

    If the block raises, or the process is killed, what was written stays, and the next call gives the same file again.
    Processes that make one such file at the same time are not kept apart.

    Args:
        path: Place of the file, in a folder that exists.

    Yields:
        The path to write to. It may exist already.

    Raises:
        InputError: The path cannot be written to.
        RunError: The disk is full or broken.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    with explaining(path):
        yield unfinished
        unfinished.replace(path)


def make_folder(path: Path) -> None:
    """Make a folder, with the folders above it, unless it exists.

    Raises:
        InputError: The path cannot be a folder.
        RunError: The disk is full or broken.
    """
    with explaining(path):
        path.mkdir(parents=True, exist_ok=True)


def mark_as_output(folder: Path) -> None:
    """Mark a folder of results, so that its pictures are not taken for photos of a folder around it.

    Raises:
        InputError: The folder cannot be written to.
        RunError: The disk is full or broken.
    """
    write_text(folder / NO_PHOTOS, "")


@contextmanager
def atomic_folder(path: Path, last: str | None, *, replaces: bool = False) -> Iterator[Path]:
    """A folder that appears when the block ends, and vanishes if the block raises.

    Args:
        path: Place of the folder. The folders above it are made.
        last: Name of a file in the folder; where it is, all others are. A folder on a disk appears at once; into a
            bucket this file is uploaded after all others. None where no file is to tell that.
        replaces: Whether a folder that is there already is replaced. Between the old and the new one there is a time
            with neither; on a disk it is an instant.

    Yields:
        The folder to write into, empty.

    Raises:
        InputError: The path cannot be written to, or holds something already and is not replaced.
        RunError: The disk is full or broken.
    """
    if isinstance(path, BucketPath):
        with explaining(path), tempfile.TemporaryDirectory() as folder:
            if not replaces and path.is_dir():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            yield Path(folder)
            if last is not None:
                (path / last).unlink()
            path.remove_below()
            _upload(Path(folder), path, last)
        return
    with explaining(path), _unfinished_folder(path) as unfinished:
        yield unfinished
        while not _take_place(unfinished, path):
            if not replaces:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            old = _name_unfinished(path)
            with suppress(FileNotFoundError):  # another process has just moved it away
                path.rename(old)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def files_together(folder: Path, last: str, replaces: Collection[str] = ()) -> Iterator[Path]:
    """Files that appear in a folder when the block ends, and of which none appears if the block raises.

    A new folder appears with its files at once. In one that exists, files of the same names are replaced, one by one,
    and the others stay.

    Args:
        folder: Place of the files. It is made where it is missing, with the folders above it.
        last: Name of the file that appears after all others, and so shows that they are complete.
        replaces: Names of files in the folder that go when the new ones appear.

    Yields:
        The folder to write the files into, empty.

    Raises:
        InputError: The folder cannot be written to.
        RunError: The disk is full or broken.
    """
    if isinstance(folder, BucketPath):
        with explaining(folder), tempfile.TemporaryDirectory() as made:
            yield Path(made)
            (folder / last).unlink()
            for name in replaces:
                (folder / name).unlink()
            _upload(Path(made), folder, last)
        return
    inside = folder / "files" if folder.is_dir() else folder
    remove_leftovers_of(inside)
    with explaining(folder), _unfinished_folder(inside) as unfinished:
        yield unfinished
        if folder.is_dir() or not _take_place(unfinished, folder):
            files = sorted(unfinished.iterdir(), key=lambda file: file.name == last)
            for name in set(replaces) - {file.name for file in files}:
                (folder / name).unlink(missing_ok=True)
            for file in files:
                file.replace(folder / file.name)


def _upload(made: Path, folder: BucketPath, last: str | None) -> None:
    """Upload the files below a local folder, one of them after the others."""
    names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    for name in sorted(names, key=lambda name: str(name) == last):
        with (made / name).open("rb") as content:
            (folder / name).upload(content)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all that is in it, as far as that is possible."""
    if isinstance(folder, BucketPath):
        with suppress(OSError):
            folder.remove_below()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path, *, below: bool = True) -> None:
    """Remove what killed processes have left in a folder; in a bucket they leave nothing.

    Args:
        folder: The folder, which may be missing.
        below: Whether the folders in it are searched, too.
    """
    if isinstance(folder, BucketPath):
        return
    for path in sorted(folder.rglob(UNFINISHED) if below else folder.glob(UNFINISHED)):
        _remove_dead(path)


def remove_leftovers_of(path: Path) -> None:
    """Remove what killed processes have left of one file or folder."""
    pattern = f".{glob.escape(path.name[:_NAME_LENGTH])}.*.unfinished"
    for unfinished in sorted(path.parent.glob(pattern)):
        if _OF_ONE_WRITER.sub("", unfinished.name) == f".{path.name[:_NAME_LENGTH]}":
            _remove_dead(unfinished)


def _remove_dead(path: Path) -> None:
    """Remove something unfinished whose writer has ended.

    That is what nobody has locked; and where a lock says nothing, on another machine's disk perhaps, or is meant to be
    gone on with, what nobody has touched for a day.
    """
    with suppress(OSError):  # another process removes it too, or it is not ours
        # What was moved is as old as its content; only the inode's own time says when it came here.
        age = time.time() - max(part.lstat().st_ctime for part in (path, *path.rglob("*")))
        can_tell = _OF_ONE_WRITER.search(path.name) and age > _LOCKED_AFTER_SECONDS
        if age > _DEAD_AFTER_SECONDS or (can_tell and _is_free(path)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_free(path: Path) -> bool:
    """Whether no process holds the lock that the writer of something unfinished takes; False if that is unknown."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed or the process ends, and return whether that worked."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system has no locks
        return False
    return True


def _name_unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAME_LENGTH]}.{secrets.token_hex(6)}.unfinished")


@contextmanager
def _unfinished_folder(path: Path) -> Iterator[Path]:
    """A folder to be renamed to `path`; it is removed, with the folders made above it, if it has not been."""
    missing = [parent for parent in path.parents if not parent.exists()]
    unfinished = _name_unfinished(path)
    descriptor = None
    try:
        unfinished.mkdir(parents=True)
        with suppress(OSError):  # where folders cannot be opened
            descriptor = os.open(unfinished, os.O_RDONLY)
            _lock(descriptor)
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):  # another process uses it
                parent.rmdir()
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)
    shutil.rmtree(unfinished, ignore_errors=True)


def _take_place(unfinished: Path, path: Path) -> bool:
    """Rename a folder, and say whether that worked; it doesn't where a folder lies that isn't empty."""
    try:
        unfinished.rename(path)
    except OSError as error:
        if error.errno not in _ALREADY_THERE:
            raise
        return False
    return True
