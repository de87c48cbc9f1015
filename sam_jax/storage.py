"""Files and folders that appear whole or not at all.

What is being made lies beside its place, under a hidden name that ends in `.unfinished`, and gets its own name when it
is complete. An exception leaves no trace of it; only a killed process leaves it behind, for `remove_leftovers` to find.
Every writer has an unfinished file of its own: of several processes that write one file the last one wins, and nobody
ever reads a mixture.

What the disk refuses is an `InputError` where the place is to blame that a user has named (no such folder, no
permission), and a `RunError` otherwise (no space left, a broken disk).
"""

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from sam_jax.types import InputError, RunError

UNFINISHED = ".*.unfinished"
"""The pattern of all unfinished names."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, of a used-up quota, and of a limit on the size of files."""
_THE_PLACE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL),
)
_ALREADY_THERE = (errno.EEXIST, errno.ENOTEMPTY)
_NAME_LENGTH = 50
"""Characters of a name that its unfinished name keeps: with four bytes each, it stays within the limit of 255."""
_DEAD_AFTER_SECONDS = 86400


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
    unfinished = _name_unfinished(path)
    with explaining(path):
        if path.is_dir():  # said before anything is computed for it
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        try:
            with unfinished.open("wb") as file:
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


def link_or_copy(source: Path, path: Path) -> None:
    """Make `path` a hard link to a file where the file system has such links, and a copy of the file elsewhere.

    Args:
        source: File that exists.
        path: Place of the link, in a folder that exists. What is there already is replaced.

    Raises:
        InputError: The path cannot be written to, or the source cannot be read.
        RunError: The disk is full or broken.
    """
    unfinished = _name_unfinished(path)
    with explaining(path):
        if path.exists() and path.samefile(source):
            return
        try:
            try:
                os.link(source.resolve(), unfinished)
            except OSError:
                shutil.copyfile(source, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


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


@contextmanager
def atomic_folder(path: Path, *, replaces: bool = False) -> Iterator[Path]:
    """A folder that appears when the block ends, and vanishes if the block raises.

    Args:
        path: Place of the folder. The folders above it are made.
        replaces: Whether a folder that is there already is replaced. Between the old and the new one there is an
            instant with neither.

    Yields:
        The folder to write into, empty.

    Raises:
        InputError: The path cannot be written to, or holds something already and is not replaced.
        RunError: The disk is full or broken.
    """
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
def files_together(folder: Path) -> Iterator[Path]:
    """Files that appear in a folder when the block ends, and of which none appears if the block raises.

    A new folder appears with its files at once. In one that exists, files of the same names are replaced, one by one,
    and the others stay.

    Args:
        folder: Place of the files. It is made where it is missing, with the folders above it.

    Yields:
        The folder to write the files into, empty.

    Raises:
        InputError: The folder cannot be written to.
        RunError: The disk is full or broken.
    """
    inside = folder / "files" if folder.is_dir() else folder
    with explaining(folder), _unfinished_folder(inside) as unfinished:
        yield unfinished
        if folder.is_dir() or not _take_place(unfinished, folder):
            for file in unfinished.iterdir():
                file.replace(folder / file.name)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder and below: unfinished things untouched for a day.

    A day, because a process on another machine may still be writing what is younger.
    """
    for path in sorted(folder.rglob(UNFINISHED)):
        with suppress(FileNotFoundError):  # another process removes it too
            # A hard link is as old as the file it links to; only the inode's own time says when it was made.
            touched = max(part.lstat().st_ctime for part in (path, *path.rglob("*")))
            if time.time() - touched > _DEAD_AFTER_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _name_unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name[:_NAME_LENGTH]}.{secrets.token_hex(6)}.unfinished")


@contextmanager
def _unfinished_folder(path: Path) -> Iterator[Path]:
    """A folder to be renamed to `path`; it is removed, with the folders made above it, if it has not been."""
    missing = [parent for parent in path.parents if not parent.exists()]
    unfinished = _name_unfinished(path)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):  # another process uses it
                parent.rmdir()
        raise
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
