import contextlib
import http.client
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import uvicorn
from PIL import Image
from skimage import data

from experiments.data_engine.crowd import Server
from sam_jax.checkpoints import SHIPPED, convert_checkpoint, save_checkpoint
from sam_jax.data_engine.browser_decoding import NO_OFFER, BrowserDecoding
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.server import make_app
from sam_jax.data_engine.workplace import Workplace
from sam_jax.models import Model, init_variables
from tests.missing import leave_out
from tests.training.conftest import MINIATURE

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def write_photos(folder: Path, names=("chelsea", "coffee", "rocket")) -> Path:
    """Real photos, wider than high, that scikit-image ships, at a third of their size."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.ascontiguousarray(getattr(data, name)()[::3, ::3])).save(
            folder / f"{name}.png"
        )
    return folder


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


SIZES = {"a/one.png": (20, 30), "two.png": (12, 17), "none.png": (5, 6)}
"""Height and width of `three_photos`, by their paths."""


@pytest.fixture
def three_photos(tmp_path):
    folder = tmp_path / "photos"
    for name, size in SIZES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1], (9, 99, 199)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of three models with one image encoder, as fine-tuning leaves them."""
    folder = tmp_path_factory.mktemp("weights")
    first = init_variables(MINIATURE)
    paths = []
    for number in range(3):
        other = init_variables(MINIATURE, number)
        params = other["params"] | {"image_encoder": first["params"]["image_encoder"]}
        paths.append(folder / f"{number}.safetensors")
        save_checkpoint(paths[-1], MINIATURE, dict(other) | {"params": params})
    return paths


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@pytest.fixture(scope="session")
def postgres_server():
    """Address of a server of its own, in a folder of its own, that listens to a socket in that folder only."""
    programs = find_postgres()
    is_root = os.geteuid() == 0
    if programs is None or (
        is_root and "postgres" not in {user.pw_name for user in pwd.getpwall()}
    ):
        leave_out("no PostgreSQL on this machine")
    folder = Path(tempfile.mkdtemp(prefix="sam_jax-postgres-"))
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if is_root else {}
    if is_root:
        shutil.chown(folder, "postgres", "postgres")

    def run(program, *arguments):
        command = [str(programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=120, **user)

    where = ("-D", folder / "data")
    run("initdb", *where, "--auth=trust", "--username=sam", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", *where, "-w", "-o", options, "-l", folder / "log", "start")
    yield f"postgresql+psycopg://sam@/postgres?host={folder}"
    run("pg_ctl", *where, "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server):
    """Address of an empty database."""
    from sqlalchemy import create_engine, text

    name = f"db_{time.monotonic_ns()}"
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres_server.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "masks.sqlite")
    return request.getfixturevalue("postgres")


@pytest.fixture
def database(address):
    with contextlib.closing(Database(address)) as database:
        yield database


@pytest.fixture(scope="session")
def model():
    """A model with random weights that compiles in a moment, and whose input is wider than high."""
    return Model(MINIATURE, jax.device_put(init_variables(MINIATURE)))


@pytest.fixture(scope="session")
def segmenter(model, tmp_path_factory):
    said = []
    segmenter = Segmenter(model, tmp_path_factory.mktemp("embeddings"), 1_000_000, said.append)
    segmenter.compile()
    assert not said
    return segmenter


class Client:
    """Talks to a server over the network, one request a connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method, path, body=None, headers=None):
        """The status and the JSON, or the bytes, of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            content = body if body is None or isinstance(body, bytes) else json.dumps(body)
            kind = {} if body is None else {"content-type": "application/json"}
            connection.request(method, path, content, kind | (headers or {}))
            answer = connection.getresponse()
            read = answer.read()
            is_json = answer.headers.get("content-type") == "application/json"
            return answer.status, json.loads(read) if is_json else read

    def head(self, path):
        """The status and the headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers)

    def post(self, path, **body):
        """The JSON of an answer that is none of an error."""
        status, answer = self.ask("POST", path, body)
        assert status == 200, answer
        return answer


@contextlib.contextmanager
def served(workplace, token=None, offer=NO_OFFER):
    """A real server in a thread."""
    said = []
    decoding = BrowserDecoding(workplace, offer)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        make_app(workplace, decoding, token, said.append),
        log_level="error",
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    client = Client(listener.getsockname()[1])
    client.said = said
    try:
        yield client
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def workplace(photos, database, segmenter):
    said = []
    place = Workplace(photos, database, segmenter, "miniature", said.append)
    place.said = said
    return place


@pytest.fixture
def client(workplace):
    with served(workplace) as client:
        yield client


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """The weights in the package, for a small input that is wider than high."""
    path = tmp_path_factory.mktemp("shipped") / "small.safetensors"
    convert_checkpoint(SHIPPED, path, image_size=(128, 192))
    return path


@pytest.fixture
def command(shipped):
    """Weights and further options of `sam-jax annotate`; a module may have others."""
    return (str(shipped),)


@pytest.fixture
def server(tmp_path, monkeypatch, command):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("coffee", "chelsea", "astronaut", "rocket", "cat")):
        pixels = getattr(data, name)()[:300:2, :420:2]
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{number}_{name}.png")
    (folder / "5_broken.png").write_bytes(b"none")
    server = Server(folder, str(tmp_path / "masks.sqlite"), *command)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def page(server):
    if BROWSER is None:
        leave_out("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1100, "height": 700})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.fill("#name-dialog input", "Ann")
        page.keyboard.press("Enter")
        yield Easel(page)
        browser.close()
        assert problems == []


class Easel:
    """What a person does at the page."""

    def __init__(self, page):
        self.page = page
        self.open("0_coffee.png")

    def open(self, name):
        """Wait until a photo is open, and note where it lies."""
        self.wait(lambda: self.page.inner_text("#photo-name") == name)
        box = self.page.locator("#stage canvas").bounding_box()
        scale = min((box["width"] - 48) / 210, (box["height"] - 48) / 150)
        self._left = box["x"] + (box["width"] - 210 * scale) / 2
        self._top = box["y"] + (box["height"] - 150 * scale) / 2
        self._scale = scale

    def at(self, x, y):
        return self._left + x * self._scale, self._top + y * self._scale

    def click(self, x, y, **options):
        self.page.mouse.click(*self.at(x, y), **options)

    def drag(self, start, end):
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=6)
        self.page.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def facts(self):
        return self.page.inner_text("#current-facts")

    @property
    def rows(self):
        return [row.split("\n") for row in self.page.locator("#list li").all_inner_texts()]

    def picture(self):
        return self.page.locator("#stage").screenshot()

    def wait(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.facts, self.rows)
            time.sleep(0.03)

    def wait_for(self, text):
        self.wait(lambda: text in self.facts)

    def wait_saved(self):
        self.wait(lambda: self.page.inner_text("#saving") == "saved")
