"""Many people annotate at once while the server is killed: is a mask lost or doubled, and who waits how long?

    python -m experiments.data_engine.crowd
    python -m experiments.data_engine.crowd --database postgresql+psycopg://user@host/empty_database

Each of 50 simulated people opens a photo and acts 20 times: a click, the mask, "done". A request that gets no answer is
sent again, as the page does it. The server is killed twice meanwhile (SIGKILL) and started again. In the end every mask
that somebody was told is saved is in the database, once, on the photo of whoever drew it, and no photo had two holders.
The guide to annotation has the figures.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PEOPLE, ACTIONS, KILLS = 50, 20, 2
SIZE = (120, 160)
_SECONDS_TO_START = 180
_SECONDS_A_REQUEST = 90
_PATIENCE_SECONDS = 240


@dataclass
class Crowd:
    """What the people have seen.

    Attributes:
        waits: Seconds of each action that was answered, tries and the server's absences included.
        photos: Photo of each person.
        saved: Names of the masks that each person was told are done.
        problems: What went wrong.
    """

    waits: list[float] = field(default_factory=list)
    photos: dict[str, int] = field(default_factory=dict)
    saved: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Server:
    """`sam-jax annotate` in a process of its own, which can be killed.

    Args:
        photos: Folder of the photos.
        database: Path or address of the database.
        checkpoint: Weights.
        options: Further options of the command.

    Attributes:
        database: Path or address of the database.
        port: Port at which it listens.
    """

    def __init__(self, photos: Path, database: str, checkpoint: str, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.database = database
        self._command = [
            *(sys.executable, "-m", "sam_jax", "annotate", str(photos), "--no-browser"),
            *("--database", database, "--checkpoint", checkpoint, "--port", str(self.port)),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers and its programs are compiled."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise RuntimeError(self._process.stderr.read().decode())
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(self.port, "GET", "/api/status")[1]["is_ready"]:
                    return
            time.sleep(0.1)
        raise RuntimeError("the server does not get ready")

    def kill(self) -> None:
        """End it without a warning."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS_A_REQUEST)
    ) as connection:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def insist(port: int, path: str, body: Any) -> Any:
    """The answer to a request, which is sent until there is one."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            status, answer = ask(port, "POST", path, body)
            if status == 200:
                return answer
            if status < 500:
                raise RuntimeError(f"{path}: {status} {answer}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path}: no answer for {_PATIENCE_SECONDS} s")
        time.sleep(0.2)


def act(port: int, person: str, actions: int, crowd: Crowd) -> None:
    """Open a photo, and draw masks in bursts."""
    chance = random.Random(person)
    try:
        opened = insist(port, "/api/next", {"person": person})["opened"]
        crowd.photos[person] = opened["photo"]["id"]
        url, lease = f"/api/photos/{opened['photo']['id']}", opened["lease"]
        crowd.saved[person] = []
        for number in range(actions):
            click = [chance.uniform(0, SIZE[1]), chance.uniform(0, SIZE[0]), 1]
            prompt = {"base": None, "box": None, "clicks": [click], "choice": None}
            started = time.monotonic()
            answer = insist(port, f"{url}/predict", {"prompt": prompt})
            mask = {
                "id": secrets.token_hex(16),
                "revision": 0,
                "state": "draft",
                "verdict": None,
                "label": f"{person}, {number}",
                "counts": answer["mask"]["rle"]["counts"],
                "prompt": prompt,
                "predicted_iou": answer["mask"]["predicted_iou"],
                "model": answer["model"],
                "clicks": 1,
                "strokes": 0,
                "seconds": 1.0,
            }
            change = {"lease": lease, "change_id": secrets.token_hex(16), "kind": "click"}
            insist(port, f"{url}/changes", change | {"mask": mask})
            has_pixels = bool(answer["mask"]["rle"]["counts"].strip()) and number % 5 != 4
            done = mask | {"revision": 1, "state": "done" if has_pixels else "skipped"}
            with contextlib.suppress(RuntimeError):  # a mask without pixels cannot be done
                change = {"lease": lease, "change_id": secrets.token_hex(16), "kind": "finish"}
                insist(port, f"{url}/changes", change | {"mask": done})
            crowd.saved[person].append(mask["id"])
            crowd.waits.append(time.monotonic() - started)
            if chance.random() < 0.3:
                time.sleep(chance.uniform(0, 0.5))
    except Exception as error:
        crowd.problems.append(f"{person}: {error}")


def run(server: Server, people: int, actions: int, kills: int) -> Crowd:
    """Let people act while the server is killed now and then."""
    crowd = Crowd()
    threads = [
        threading.Thread(target=act, args=(server.port, f"person {number}", actions, crowd))
        for number in range(people)
    ]
    for thread in threads:
        thread.start()
    for kill in range(1, kills + 1):
        while len(crowd.waits) < kill * people * actions // (kills + 1) and not crowd.problems:
            time.sleep(0.02)
        server.kill()
        server.start()
    for thread in threads:
        thread.join()
    return crowd


def check(server: Server, crowd: Crowd) -> list[str]:
    """What of that which people were told is not so."""
    problems = list(crowd.problems)
    if len(set(crowd.photos.values())) < len(crowd.photos):
        problems.append("a photo had two holders")
    for person, photo in crowd.photos.items():
        opened = insist(server.port, f"/api/photos/{photo}/open", {"person": person})["opened"]
        names = [mask["id"] for mask in opened["masks"]]
        if sorted(names) != sorted(crowd.saved[person]):
            lost = len(set(crowd.saved[person]) - set(names))
            problems.append(f"{person}: {lost} masks lost, {len(names)} there")
        if any(not mask["label"].startswith(f"{person},") for mask in opened["masks"]):
            problems.append(f"{person}: a mask of somebody else")
    return problems


@contextlib.contextmanager
def started(folder: Path, people: int, database: str, checkpoint: str) -> Iterator[Server]:
    """A server with a photo for each person."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for number in range(people):
        noise = np.random.default_rng(number).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        Image.fromarray(noise).save(photos / f"{number:03}.png")
    server = Server(photos, database, checkpoint)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def main() -> None:
    """Let the people act, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", help="address of an empty database; the default is SQLite")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--kills", type=int, default=KILLS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("XDG_CACHE_HOME", str(folder / "cache"))
        database = options.database or str(folder / "masks.sqlite")
        with started(folder, options.people, database, "default") as server:
            begun = time.monotonic()
            crowd = run(server, options.people, options.actions, options.kills)
            seconds = time.monotonic() - begun
            problems = check(server, crowd)
    waits = sorted(crowd.waits)
    print(
        f"{len(waits)} masks by {len(crowd.photos)} people in {seconds:.0f} s, {options.kills} kills"
    )
    print(
        f"an action takes {statistics.median(waits):.2f} s (median), {waits[int(0.99 * len(waits))]:.2f} s (99 %), "
        f"{waits[-1]:.2f} s (longest)"
    )
    print("\n".join(problems) or "nothing lost, nothing doubled, one holder a photo")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
