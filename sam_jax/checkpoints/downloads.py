"""The official checkpoints from their home on the web: resumed where they broke off, and verified."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, NamedTuple

import platformdirs
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sam_jax.checkpoints.clip_words import OPENAI_MERGES, OPENAI_MERGES_URL
from sam_jax.storage import explaining, make_folder, resumable_file
from sam_jax.types import InputError

OFFICIAL_FILES = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
"""The last part of a name is how the file's SHA-256 begins, as PyTorch Hub has it."""
OFFICIAL_HOME = "https://dl.fbaipublicfiles.com/segment_anything/"


class PublicFile(NamedTuple):
    """A file on the web.

    Attributes:
        name: Name of the file.
        sha256: SHA-256 of its content.
        url: Address of the file.
    """

    name: str
    sha256: str
    url: str


def _openai(name: str, sha256: str) -> PublicFile:
    home = "https://openaipublic.azureedge.net/clip/models"
    return PublicFile(name, sha256, f"{home}/{sha256}/{name}")


CLIP_FILES = {
    "clip_vit_b_32": _openai(
        "ViT-B-32.pt", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    ),
    "clip_vit_b_16": _openai(
        "ViT-B-16.pt", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
    ),
    "clip_vit_l_14": _openai(
        "ViT-L-14.pt", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    ),
    "clip_vit_l_14_336": _openai(
        "ViT-L-14-336px.pt", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
    ),
}
"""OpenAI's CLIPs with a vision transformer."""
CLIP_WORDS = PublicFile(
    OPENAI_MERGES,
    "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
    OPENAI_MERGES_URL,
)
"""The words of all of OpenAI's CLIPs."""
_CHUNK = 2**20
_TIMEOUT_SECONDS = 30
_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0
_LOST = (ConnectionError, TimeoutError)
_WORTH_ANOTHER_TRY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class _ConnectionLost(Exception):
    """What has arrived is kept and asking again may help."""


def download(
    name: str,
    folder: str | os.PathLike | None = None,
    *,
    url: str | None = None,
    progress: bool = True,
) -> Path:
    """Fetch official weights, or nothing if they are there already, and return where they lie.

    An unfinished download lies beside it, hidden, and is taken up by the next call. The file gets its name when its
    hash is right.

    Args:
        name: Name of the model: vit_b, vit_l or vit_h; or of a CLIP, clip_vit_b_32, clip_vit_b_16, clip_vit_l_14 or
            clip_vit_l_14_336, whose words are fetched with it.
        folder: Folder for the file; the default is the user's cache folder.
        url: Address of the same file elsewhere.
        progress: Whether to draw a progress bar on standard error.

    Raises:
        InputError: There is no such name, the folder cannot be written to, the server refuses, the connection fails
            repeatedly, or what came is not the official file.
        RunError: The disk is full or broken.
    """
    if name not in (*OFFICIAL_FILES, *CLIP_FILES):
        names = ", ".join((*OFFICIAL_FILES, *CLIP_FILES))
        raise InputError(f"no checkpoint is called {name!r}; there are {names}")
    folder = Path(folder or downloads_folder())
    if name in CLIP_FILES:
        _bring(CLIP_WORDS, folder, None, progress)
        return _bring(CLIP_FILES[name], folder, url, progress)
    file_name = OFFICIAL_FILES[name]
    expected = Path(file_name).stem.rpartition("_")[2]
    return _bring(PublicFile(file_name, expected, OFFICIAL_HOME + file_name), folder, url, progress)


def downloads_folder() -> Path:
    """The user's folder of downloaded weights."""
    return platformdirs.user_cache_path("sam_jax") / "checkpoints"


def _bring(file: PublicFile, folder: Path, url: str | None, progress: bool) -> Path:
    """Fetch a file into a folder; `url`, if given, is its address elsewhere, and the hash may be its beginning."""
    file_name, expected, home = file
    destination = folder / file_name
    url = url or home
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url} is not the address of a file on the web: it begins with https://")
    make_folder(folder)
    with explaining(destination):
        if destination.is_file() and _hash_is_right(destination, expected):
            return destination
    with resumable_file(destination) as part:
        resumed = part.exists() and part.stat().st_size > 0
        _fetch(url, part, progress)
        whole = _hash_is_right(part, expected)
        if resumed and not whole:
            # What lay there may have been the beginning of another file.
            part.unlink()
            _fetch(url, part, progress)
            whole = _hash_is_right(part, expected)
        if not whole:
            part.unlink()
            raise InputError(
                f"what came from {url} is not {file_name}: its SHA-256 begins otherwise; nothing was kept"
            )
    return destination


def _hash_is_right(path: Path, expected: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(expected)


def _fetch(url: str, part: Path, progress: bool) -> None:
    """Bring `part` to its full length, over as many connections as it takes."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    with bar:
        task = bar.add_task(part.stem, total=None)
        attempts = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                return _continue(url, part, bar, task)
            except _ConnectionLost as error:
                arrived = part.exists() and part.stat().st_size > before
                attempts = 1 if arrived else attempts + 1
                if attempts >= _ATTEMPTS:
                    raise InputError(
                        f"cannot download {url}: {error}; what has arrived is kept, run it again to go on"
                    ) from error
                time.sleep(_PAUSE_SECONDS * 2 ** (attempts - 1))


def _continue(url: str, part: Path, bar: Progress, task: TaskID) -> None:
    """One connection, from where `part` ends."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sam-jax"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            start, total = _expected_range(response)
            if start not in (0, have):
                part.unlink()
                raise _ConnectionLost("the server sent another part of the file than asked for")
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                bar.update(task, completed=start, total=total)
                _receive(response, file, bar, task)
                have = file.tell()
            if total is not None and have < total:
                raise _ConnectionLost(f"the connection closed after {have} of {total} bytes")
    except urllib.error.HTTPError as error:
        _explain(error, url, part, have)
    except (urllib.error.URLError, http.client.HTTPException, *_LOST) as error:
        raise _ConnectionLost(
            str(getattr(error, "reason", error)) or type(error).__name__
        ) from error


def _explain(error: urllib.error.HTTPError, url: str, part: Path, have: int) -> None:
    """Return if the file is complete, which a server says by refusing to send more; raise otherwise."""
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
            return
        part.unlink()
        raise _ConnectionLost("the file on the server has another length than before") from error
    if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _WORTH_ANOTHER_TRY:
        raise InputError(f"cannot download {url}: {error.code} {error.reason}") from error
    raise _ConnectionLost(f"{error.code} {error.reason}") from error


def _expected_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The first byte that a response brings, and how many the whole file has."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        # Content-Range: bytes 100-199/200
        extent, _, total = response.headers.get("Content-Range", "").rpartition("/")
        first = extent.removeprefix("bytes ").partition("-")[0]
        if not first.isdigit():
            raise http.client.HTTPException("the server's Content-Range makes no sense")
        return int(first), int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _receive(
    response: http.client.HTTPResponse, file: BinaryIO, bar: Progress, task: TaskID
) -> None:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionLost(str(error) or type(error).__name__) from error
        if not chunk:
            break
        file.write(chunk)
        bar.advance(task, len(chunk))
    file.truncate()
    file.flush()
    os.fsync(file.fileno())
