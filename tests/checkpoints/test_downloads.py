import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sam_jax.checkpoints import download
from sam_jax.checkpoints.downloads import CLIP_FILES, CLIP_WORDS, PublicFile
from sam_jax.types import InputError, RunError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
NAME = f"sam_vit_b_{hashlib.sha256(CONTENT).hexdigest()[:6]}.pth"


class Server(ThreadingHTTPServer):
    """Serves `content` and keeps the Range headers that it was asked with.

    Attributes:
        ranges: whether it understands Range.
        drop_after: bytes after which it closes each connection; None for never.
        status: answer with this error instead.
        failures: how many answers are `status`.
    """

    daemon_threads = True
    content = CONTENT
    ranges = True
    drop_after: int | None = None
    status: int | None = None
    failures = 10**6

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        if server.status and server.failures > 0:
            server.failures -= 1
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        total = len(server.content)
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if asked and server.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        if asked and server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body[: server.drop_after])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    module = "sam_jax.checkpoints.downloads"
    monkeypatch.setattr(f"{module}.OFFICIAL_FILES", {"vit_b": NAME})
    monkeypatch.setattr(f"{module}._PAUSE_SECONDS", 0.001)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server, folder):
    return download("vit_b", folder, url=server.url, progress=False)


def test_downloads_and_verifies(server, tmp_path):
    path = fetch(server, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / NAME
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_whole_file_needs_no_network(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(server, tmp_path) == tmp_path / NAME
    assert server.asked == []


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None]


def test_default_folder_is_the_users_cache(server, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    assert fetch(server, None) == tmp_path / "sam_jax" / "checkpoints" / NAME


def test_resumes(server, tmp_path):
    (tmp_path / f".{NAME}.unfinished").write_bytes(CONTENT[:1_234_567])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1234567-"]


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    server.ranges = False
    (tmp_path / f".{NAME}.unfinished").write_bytes(b"x" * 1_234_567)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1234567-"]


def test_a_complete_part_is_only_verified(server, tmp_path):
    (tmp_path / f".{NAME}.unfinished").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("length", [1_000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_is_thrown_away(server, tmp_path, length):
    (tmp_path / f".{NAME}.unfinished").write_bytes(b"x" * length)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [f"bytes={length}-", None]


def test_survives_lost_connections(server, tmp_path):
    server.drop_after = 400_000
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, *(f"bytes={n * 400_000}-" for n in range(1, 8))]


def test_survives_a_server_that_is_busy_for_a_moment(server, tmp_path):
    server.status, server.failures = 503, 2
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_gives_up_and_keeps_what_has_arrived(server, tmp_path):
    (tmp_path / f".{NAME}.unfinished").write_bytes(CONTENT[:1000])
    server.drop_after = 0
    with pytest.raises(InputError, match=r"closed after 1000 of 3000000 bytes; .* run it again"):
        fetch(server, tmp_path)
    assert len(server.asked) == 5
    assert (tmp_path / f".{NAME}.unfinished").read_bytes() == CONTENT[:1000]
    server.drop_after = None
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_refused_by_the_server(server, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match=rf"cannot download {server.url}: 404 Not Found"):
        fetch(server, tmp_path)
    assert len(server.asked) == 1
    assert not (tmp_path / NAME).exists()


def test_no_server(server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="Connection refused"):
        download("vit_b", tmp_path, url=url, progress=False)


@pytest.mark.parametrize("ranges", [True, False])
def test_garbage_leaves_nothing(server, tmp_path, ranges):
    server.content, server.ranges = b"<html>please log in</html>", ranges
    (tmp_path / f".{NAME}.unfinished").write_bytes(b"<html>")
    with pytest.raises(InputError, match=rf"is not {NAME}: its SHA-256 begins otherwise"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_full_disk(server, tmp_path):
    (tmp_path / f".{NAME}.unfinished").symlink_to("/dev/full")
    with pytest.raises(RunError, match=f"cannot write {tmp_path / NAME}: No space left on device"):
        fetch(server, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"cannot write {tmp_path}/file: File exists"):
        fetch(server, tmp_path / "file")


def test_wrong_arguments(server, tmp_path):
    with pytest.raises(InputError, match="no checkpoint is called 'vit_x'; there are vit_b"):
        download("vit_x", tmp_path)
    with pytest.raises(InputError, match="is not the address of a file on the web"):
        download("vit_b", tmp_path, url="file:///etc/passwd")


def test_progress_goes_to_standard_error(server, tmp_path, capsys):
    download("vit_b", tmp_path, url=server.url)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert NAME in captured.err
    assert "3.0/3.0 MB" in captured.err


def test_a_clip_comes_with_its_words(server, monkeypatch, tmp_path):
    module = "sam_jax.checkpoints.downloads"
    right = hashlib.sha256(CONTENT).hexdigest()
    address = server.url.rpartition("/")[0]
    words = PublicFile("words.txt.gz", right, f"{address}/words.txt.gz")
    monkeypatch.setattr(f"{module}.CLIP_WORDS", words)
    whole = PublicFile("ViT-B-32.pt", right, f"{address}/{right}/ViT-B-32.pt")
    monkeypatch.setattr(f"{module}.CLIP_FILES", {"clip_vit_b_32": whole})
    path = download("clip_vit_b_32", tmp_path, progress=False)
    assert path == tmp_path / "ViT-B-32.pt"
    assert path.read_bytes() == (tmp_path / "words.txt.gz").read_bytes() == CONTENT
    assert len(server.asked) == 2
    download("clip_vit_b_32", tmp_path, progress=False)
    assert len(server.asked) == 2
    path.unlink()
    other = whole._replace(sha256="0" * 64)
    monkeypatch.setattr(f"{module}.CLIP_FILES", {"clip_vit_b_32": other})
    with pytest.raises(InputError, match=r"is not ViT-B-32.pt: its SHA-256"):
        download("clip_vit_b_32", tmp_path, progress=False)
    assert not path.exists()


@pytest.mark.parametrize("file", [*CLIP_FILES.values(), CLIP_WORDS])
def test_addresses_of_clips(file):
    assert len(file.sha256) == 64
    assert file.url.endswith(f"/{file.name}")
    assert file.url.startswith("https://")
