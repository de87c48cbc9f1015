"""Buckets of Google Cloud Storage and of S3, as paths.

`locate` turns what a user has named, `gs://BUCKET/...` or `s3://BUCKET/...`, into a path whose methods read the bucket.
An object is there whole or not at all; nothing in a bucket can be renamed, and folders are nothing but the beginnings
of names. Credentials and addresses come from the environment, as other tools take them: GOOGLE_APPLICATION_CREDENTIALS
or the machine's own account; AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...
"""

# pyright: reportIncompatibleMethodOverride=false, reportMissingImports=false

import contextlib
import errno
import fnmatch
import functools
import io
import os
import re
import stat
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sam_jax.types import InputError, RunError

SCHEMES = ("gs", "s3")
"""What the places in buckets begin with."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/")
_READ_AT_ONCE = 1 << 24
"""Size in bytes up to which an object that is opened is read in one request."""
_PIECE = 1 << 22
"""Bytes that are read at a time of larger ones."""


def locate(place: str | os.PathLike[str]) -> Path:
    """The path of a place: a `BucketPath` for gs:// and s3://, and otherwise that of a local file or folder.

    A path that has been through `pathlib`, which makes one slash of two, is understood, too.

    Raises:
        InputError: The address is of another kind, or lacks the name of the bucket.
    """
    if isinstance(place, BucketPath):
        return place
    text = os.fspath(place)
    address = _ADDRESS.match(text)
    if not address or os.path.exists(text):
        return Path(place)
    if address[1] not in SCHEMES:
        raise InputError(
            f"{text} is no place that can be used: name a local path, or gs://BUCKET/... or s3://BUCKET/..."
        )
    path = BucketPath(text)
    if len(path.parts) < 2:
        raise InputError(f"{text} names no bucket: {address[1]}://BUCKET/...")
    return path


def exists(path: Path) -> bool:
    """Whether there is anything at a place; False for a name that nothing can have."""
    return path.exists() if isinstance(path, BucketPath) else os.path.exists(path)


def is_folder(path: Path) -> bool:
    """Whether there is a folder at a place; False for a name that nothing can have."""
    return path.is_dir() if isinstance(path, BucketPath) else os.path.isdir(path)


class BucketPath(type(Path())):
    """An object in a bucket, or the folder that objects seem to lie in because their names begin alike.

    Of `pathlib.Path`, what changes a file or depends on a disk is missing: objects are written by the functions of
    this package.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """The address, with its two slashes."""
        return super().__str__().replace(":/", "://", 1)

    def __fspath__(self) -> str:
        return str(self)

    @property
    def key(self) -> str:
        """The name of the object in its bucket."""
        return "/".join(self.parts[2:])

    @property
    def store(self) -> Any:
        """The bucket, as `obstore` knows it."""
        return _open_bucket(f"{self.parts[0]}//{self.parts[1]}")

    def is_absolute(self) -> bool:
        """True, since no working folder matters."""
        return True

    def absolute(self) -> "BucketPath":
        """The path itself."""
        return self

    def resolve(self, strict: bool = False) -> "BucketPath":
        """The path itself."""
        return self

    def is_file(self, **_: Any) -> bool:
        """Whether there is an object of this name."""
        try:
            return bool(self.key) and self._head() is not None
        except FileNotFoundError:
            return False

    def is_dir(self, **_: Any) -> bool:
        """Whether there are objects below this name."""
        with explaining_bucket(self):
            pages = _obstore().list(self.store, self.key and f"{self.key}/", chunk_size=1)
            return any(len(page) > 0 for page in pages)

    def exists(self, **_: Any) -> bool:
        """Whether there is an object of this name, or one below it."""
        return self.is_file() or self.is_dir()

    def is_symlink(self) -> bool:
        """False."""
        return False

    def iterdir(self) -> Iterator["BucketPath"]:
        """Objects directly below this name, and names that further ones share."""
        with explaining_bucket(self):
            found = _obstore().list_with_delimiter(self.store, self.key or None)
        names = [*found["common_prefixes"], *(about["path"] for about in found["objects"])]
        yield from (self / name.rpartition("/")[2] for name in sorted(names))

    def glob(self, pattern: str, **options: Any) -> Iterator["BucketPath"]:
        """Objects and folders below this one whose relative names fit a pattern without `**`."""
        first, _, rest = pattern.partition("/")
        found = [self / first]
        if re.search(r"[*?[]", first):
            found = [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, first)]
        elif not rest:
            found = [path for path in found if path.exists()]
        for path in found:
            if rest:
                yield from path.glob(rest)
            else:
                yield path

    def list_below(self) -> Iterator[str]:
        """Names of all objects below this one, relative to it, in any order."""
        start = f"{self.key}/" if self.key else ""
        with explaining_bucket(self):
            for page in _obstore().list(self.store, start):
                yield from (about["path"][len(start) :] for about in page)

    def stat(self, **_: Any) -> os.stat_result:
        """Size and time of an object."""
        about = self._head()
        time = int(about["last_modified"].timestamp())
        mode = stat.S_IFREG | 0o644
        return os.stat_result((mode, 0, 0, 1, 0, 0, about["size"], time, time, time))

    def read_bytes(self) -> bytes:
        """The content of an object."""
        with explaining_bucket(self):
            return bytes(_obstore().get(self.store, self.key).bytes())

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None, *args: Any):
        """Open an object to read it; large ones are read piece by piece."""
        if mode not in ("r", "rb"):
            raise io.UnsupportedOperation(
                f"{self} is in a bucket: it cannot be opened to be written"
            )
        size = self._head()["size"]
        content: io.BufferedIOBase = (
            io.BytesIO(self.read_bytes())
            if size <= _READ_AT_ONCE
            else io.BufferedReader(_Pieces(self, size), _PIECE)
        )
        return content if mode == "rb" else io.TextIOWrapper(content, encoding or "utf-8")

    def read_text(self, encoding: str | None = None, *args: Any, **_: Any) -> str:
        """The content of an object as text."""
        return self.read_bytes().decode(encoding or "utf-8")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object, if there is one."""
        with explaining_bucket(self), contextlib.suppress(FileNotFoundError):
            _obstore().delete(self.store, self.key)

    def remove_below(self) -> None:
        """Remove all objects below this name."""
        keys = [f"{self.key}/{name}" for name in self.list_below()]
        with explaining_bucket(self):
            _obstore().delete(self.store, keys)

    def upload(self, content: Any) -> None:
        """Make an object of bytes or of an open file; it appears when it is complete."""
        with explaining_bucket(self):
            _obstore().put(self.store, self.key, content)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: names need no folder."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise io.UnsupportedOperation(f"{self} is in a bucket, where this cannot be done")

    write_bytes = write_text = touch = rename = replace = rmdir = rglob = _refuse
    lstat = chmod = symlink_to = hardlink_to = readlink = samefile = owner = group = _refuse

    def _head(self) -> Any:
        with explaining_bucket(self):
            return _obstore().head(self.store, self.key)


class _Pieces(io.RawIOBase):
    """An object that is read range by range."""

    def __init__(self, path: BucketPath, size: int) -> None:
        self._path, self._size, self._place = path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readall(self) -> bytes:
        return bytes(self._get(self._size - self._place))

    def readinto(self, buffer: Any) -> int:
        piece = self._get(min(len(buffer), self._size - self._place))
        buffer[: len(piece)] = piece
        return len(piece)

    def _get(self, length: int) -> memoryview:
        if length <= 0:
            return memoryview(b"")
        with explaining_bucket(self._path):
            piece = _obstore().get_range(
                self._path.store, self._path.key, start=self._place, length=length
            )
        self._place += len(piece)
        return memoryview(piece)


@contextlib.contextmanager
def explaining_bucket(path: Path) -> Iterator[None]:
    """Turn what the library raises into the errors of files, so that callers need not know where a path leads.

    Raises:
        FileNotFoundError: There is no such object, or no such bucket.
        PermissionError: The credentials are missing or don't suffice.
        RunError: The bucket cannot be reached, which must not be taken for a file that is damaged or missing.
    """
    try:
        yield
    except FileNotFoundError as error:
        if error.errno is not None:
            raise
        raise FileNotFoundError(errno.ENOENT, "no such object or bucket", str(path)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        line = str(error).partition("\n")[0]
        if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
            raise PermissionError(errno.EACCES, f"no permission: {line}", str(path)) from error
        raise RunError(
            f"cannot reach {path}: {line}; start again when it can be reached, and what is done is kept"
        ) from error


@functools.cache
def download(path: BucketPath) -> Path:
    """A copy of an object, or of all objects below a name, on the local disk until the program ends."""
    folder = (
        Path(_make_downloads_folder().name) / f"{len(os.listdir(_make_downloads_folder().name))}"
    )
    names = [""] if path.is_file() else sorted(path.list_below())
    for name in names:
        copy = folder / path.name / name if name else folder / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        with explaining_bucket(path), copy.open("wb") as file:
            for piece in _obstore().get(path.store, (path / name).key).stream():
                file.write(piece)
    return folder / path.name


def to_local(path: Path) -> Path:
    """The path itself, or that of a local copy of what lies in a bucket, for readers that need a file.

    Raises:
        OSError: It cannot be read.
        RunError: The bucket cannot be reached.
    """
    return download(path) if isinstance(path, BucketPath) and path.exists() else path


@functools.cache
def _make_downloads_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="sam_jax-")


@functools.cache
def _open_bucket(address: str) -> Any:
    with explaining_bucket(Path(address)):
        _obstore()
        from obstore.store import from_url

        return from_url(address)


def _obstore() -> types.ModuleType:
    try:
        import obstore
    except ModuleNotFoundError as error:
        raise InputError(
            "buckets need the package obstore: pip install 'sam-jax[cloud]'"
        ) from error
    return obstore
