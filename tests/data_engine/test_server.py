"""The server over the network: who gets in, what is refused, and what it does when photos or the database go away."""

import json
import os
import random
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sam_jax.data_engine.server import MOST_BYTES
from sam_jax.data_engine.workplace import Workplace
from sam_jax.ops.rle import decode_rle
from tests.data_engine.conftest import served
from tests.data_engine.test_journal import draw

ATTEMPTS = 500


@pytest.fixture
def address(tmp_path):
    """What is tested here is the same on every database."""
    return str(tmp_path / "masks.sqlite")


def begin(client, person="ann", **others):
    return client.post("/api/next", person=person, **others)["opened"]


def predict(client, opened, **prompt):
    base = {"base": None, "box": None, "clicks": [], "choice": None}
    path = f"/api/photos/{opened['photo']['id']}/predict"
    return client.post(path, prompt=base | prompt)


def save(client, opened, mask, kind="click"):
    path = f"/api/photos/{opened['photo']['id']}/changes"
    change_id = secrets.token_hex(16)
    return client.post(path, lease=opened["lease"], change_id=change_id, kind=kind, mask=mask)


def masks_of(client, opened):
    path = f"/api/photos/{opened['photo']['id']}/open"
    again = client.post(path, person="ann", lease=opened["lease"])["opened"]
    return {mask["id"]: mask for mask in again["masks"]}


def test_a_click_becomes_a_mask_that_is_there_when_the_page_is_loaded_again(client, photos):
    opened = begin(client)
    photo = opened["photo"]
    with Image.open(photos / photo["path"]) as image:
        assert (photo["width"], photo["height"]) == image.size
    answer = predict(client, opened, clicks=[[70.5, 40.0, 1]])
    assert len(answer["masks"]) == 3
    counts = answer["mask"]["rle"]["counts"]
    area = int(decode_rle(answer["mask"]["rle"]).sum())
    prompt = {"base": None, "box": None, "clicks": [[70.5, 40.0, 1]], "choice": answer["choice"]}
    mask = draw(counts=counts, prompt=prompt, label=" a  cat ", model=answer["model"])
    assert save(client, opened, mask)["history"] == {"undo": 1, "redo": None}
    kept = masks_of(client, opened)[mask["id"]]
    assert (kept["area"], kept["label"], kept["person"]) == (area, "a cat", "ann")
    assert kept["prompt"] == prompt
    assert kept["model"] == answer["model"] == 1
    undone = client.post(f"/api/photos/{photo['id']}/undo", lease=opened["lease"], number=1)
    assert undone == {"mask_id": mask["id"], "mask": None, "history": {"undo": None, "redo": 1}}


def test_tiles_are_the_photo(client, photos):
    opened = begin(client)
    photo = opened["photo"]
    status, content = client.ask("GET", f"/api/photos/{photo['id']}/tiles/0/0/0")
    assert status == 200
    assert content[:3] == b"\xff\xd8\xff"
    for wrong in ("9/0/0", "0/7/0", f"0/0/{10**30}"):
        assert client.ask("GET", f"/api/photos/{photo['id']}/tiles/{wrong}")[0] == 404


def test_a_photo_of_many_megapixels_comes_in_parts(database, segmenter, tmp_path):
    ramp = np.linspace(0, 255, 1700).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (900, 1700, 3))
    (tmp_path / "large").mkdir()
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "large/ramp.png")
    workplace = Workplace(tmp_path / "large", database, segmenter, "m", pytest.fail)
    picture = workplace.read_picture(1).picture
    assert [level.shape[:2] for level in picture.levels] == [(900, 1700), (450, 850), (225, 425)]
    import io

    tile = np.asarray(Image.open(io.BytesIO(picture.encode_tile(0, 3, 1))))
    assert tile.shape == (900 - 512, 1700 - 3 * 512, 3)
    np.testing.assert_allclose(tile[5, :, 0], ramp[3 * 512 :], atol=3)


def test_damaged_photos_are_named_passed_over_and_counted(database, segmenter, photos):
    (photos / "a_broken.jpg").write_bytes(b"\xff\xd8\xff none")
    said = []
    place = Workplace(photos, database, segmenter, "m", said.append)
    with served(place) as client:
        opened = begin(client)
        assert opened["photo"]["path"] == "chelsea.png"
        status = client.ask("GET", "/api/status")[1]
        assert status["photos"] == {"total": 4, "finished": 0, "problems": 1}
        listed = client.ask("GET", "/api/photos")[1]["photos"]
        (problem,) = [photo["problem"] for photo in listed if photo["problem"]]
        assert "a_broken.jpg is not an image" in problem
        number = next(photo["id"] for photo in listed if photo["problem"])
        status, answer = client.ask("POST", f"/api/photos/{number}/open", {"person": "ann"})
        assert (status, answer["error"]) == (410, problem)
    assert len([line for line in said if "a_broken.jpg is left out" in line]) == 1


def test_a_photo_that_vanishes_or_changes_is_said_to_and_keeps_its_masks(client, photos):
    opened = begin(client)
    path = photos / opened["photo"]["path"]
    mask = draw(counts=predict(client, opened, clicks=[[5, 5, 1]])["mask"]["rle"]["counts"])
    save(client, opened, mask)
    content = path.read_bytes()
    prompt = {"clicks": [[9, 9, 1]]}
    url = f"/api/photos/{opened['photo']['id']}"
    path.unlink()
    status, answer = client.ask("POST", f"{url}/predict", {"prompt": prompt})
    assert status == 410
    assert "is not there any more" in answer["error"]
    Image.new("RGB", (31, 17)).save(path)
    status, answer = client.ask("POST", f"{url}/open", {"person": "ann"})
    assert status == 410
    assert "is another photo than it was: 31 wide and 17 high" in answer["error"]
    path.write_bytes(content)
    again = client.post(f"{url}/open", person="ann")["opened"]
    assert [row["id"] for row in again["masks"]] == [mask["id"]]
    os.utime(path, (1, 1))  # the same photo, copied anew
    assert client.ask("POST", f"{url}/predict", {"prompt": prompt})[0] == 200


def test_who_lacks_the_token_is_not_let_in(workplace):
    with served(workplace, token="open sesame") as client:
        for headers in ({}, {"authorization": "Bearer sesame"}, {"cookie": "sam_jax_token=ö"}):
            status, answer = client.ask("GET", "/api/status", headers=headers)
            assert status == 401
            assert "token is needed" in answer["error"]
        assert client.ask("GET", "/?token=wrong")[0] == 401
        assert client.ask("GET", "/?token=open%20sesame")[0] == 303
        for headers in (
            {"authorization": "Bearer open sesame"},
            {"cookie": 'sam_jax_token="open sesame"'},
        ):
            assert client.ask("GET", "/api/status", headers=headers)[0] == 200


def test_pages_from_elsewhere_are_not_let_in(client):
    assert client.ask("GET", "/", headers={"host": "evil.example"})[0] == 403
    assert client.ask("GET", "/", headers={"host": f"localhost:{client.port}"})[0] == 200
    status, answer = client.ask(
        "POST", "/api/next", b'{"person": "eve"}', {"content-type": "text/plain"}
    )
    assert status == 415
    assert "application/json" in answer["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../../database.py",
        "/api/photos/..%2f..%2fetc%2fpasswd/tiles/0/0/0",
        "/api/photos/1/tiles/0/0/../../../../etc/passwd",
        "//etc/passwd",
        "/index.html/../../server.py",
    ],
)
def test_no_path_leads_to_a_file(client, path):
    status, answer = client.ask("GET", path)
    assert status == 404
    assert set(answer) == {"error"}


def test_what_is_too_large_is_refused_before_it_is_read_as_a_whole(client):
    begin(client)
    body = json.dumps({"person": "x" * (MOST_BYTES + 1)}).encode()
    try:
        status, answer = client.ask("POST", "/api/next", body)
    except (BrokenPipeError, ConnectionResetError):
        return  # refused while it was still being sent
    assert (status, answer["error"]) == (413, "a request has at most 16 MB")


def test_random_requests_get_an_answer_and_no_traceback(client):
    opened = begin(client)
    chance = random.Random(0)
    junk = (
        *(None, True, -1, 0, 3, 2**40, 1e308, "", "x" * 300, "\ud800", "\0", [], {}, [[]], [[[]]]),
        *({"clicks": [[1, 1, 1]]}, {"clicks": [[1e9, 1, 1]]}, opened["lease"], "f" * 32),
    )
    keys = (
        *("person", "lease", "after", "prompt", "is_preview", "number", "change_id", "kind"),
        *("mask", "is_finished", "nonsense"),
    )
    ends = ("open", "renew", "release", "finish", "predict", "changes", "undo", "redo", "nothing")
    numbers = ("1", "2", "99", "0", "-1", "1e3", "9" * 40, "%00", "ö", "")
    seen = set()
    for _ in range(ATTEMPTS):
        path = chance.choice(
            [
                "/api/next",
                f"/api/photos/{chance.choice(numbers)}/{chance.choice(ends)}",
                f"/api/photos/1/{chance.choice(ends)}",
                f"/api/photos?after={chance.choice(numbers)}",
                f"/api/photos/1/tiles/{chance.choice(numbers)}/0/{chance.choice(numbers)}",
                f"/api/photos/{chance.choice(numbers)}/embeddings/{chance.choice(numbers)}",
                f"/api/decoders/{chance.choice(numbers)}",
                f"/ort/{chance.choice(numbers)}/{chance.choice(numbers)}",
                "/api/decoding",
            ]
        ).replace("ö", "%c3%b6")
        method = chance.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE"])
        body = {key: chance.choice(junk) for key in chance.sample(keys, chance.randrange(6))}
        if "mask" in body and chance.random() < 0.6:
            body["mask"] = draw() | {chance.choice([*draw()]): chance.choice(junk)}
        content = json.dumps(body).encode()
        if chance.random() < 0.25:
            content = chance.choice(
                [
                    b"",
                    b"[" * 5000,
                    content[: len(content) // 2],
                    chance.randbytes(50),
                    b"NaN",
                    b'{"number": 1' + b"0" * 5000 + b"}",
                ]
            )
        status, answer = client.ask(method, path, content if method != "GET" else None)
        seen.add(status)
        assert status in {200, 400, 404, 405, 409, 410, 415}, (method, path, content, answer)
        if status != 200:
            assert set(answer) == {"error"}
            assert "Traceback" not in answer["error"]
            assert len(answer["error"]) < 500
    assert {200, 400, 404, 405} <= seen
    assert client.said == []


def test_half_a_request_holds_nobody_up(client):
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(
            b"POST /api/next HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b'Content-Length: 1000\r\n\r\n{"pers'
        )
        assert begin(client)["photo"]["id"] == 1
    assert client.ask("GET", "/api/status")[0] == 200


def test_people_at_once_lose_nothing(client):
    def work(who):
        opened = begin(client, f"person {who}")
        drawn = []
        for _ in range(8):
            answer = predict(client, opened, clicks=[[5 + who, 9, 1]])
            mask = draw(counts=answer["mask"]["rle"]["counts"])
            save(client, opened, mask)
            save(client, opened, mask | {"revision": 1, "state": "done"}, "finish")
            drawn.append(mask["id"])
        url = f"/api/photos/{opened['photo']['id']}/open"
        again = client.post(url, person=f"person {who}", lease=opened["lease"])["opened"]
        assert {mask["id"] for mask in again["masks"]} == {*drawn}
        return opened["photo"]["id"]

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(work, range(3))) == [1, 2, 3]
    numbers = client.ask("GET", "/api/statistics")[1]
    assert numbers["masks"] == 24
    assert numbers["all"]["median_seconds"] == 2.5
    assert [group["masks"] for group in numbers["by_person"]] == [8, 8, 8]


def test_a_database_that_goes_away_is_said_to_be_away_and_comes_back(
    postgres, photos, segmenter, tmp_path
):
    from sqlalchemy import create_engine, text

    from sam_jax.data_engine.database import Database

    workplace = Workplace(photos, Database(postgres), segmenter, "m", print)
    name = postgres.rpartition("/db_")[2].partition("?")[0]
    admin = create_engine(
        postgres.replace(f"/db_{name}?", "/postgres?"), isolation_level="AUTOCOMMIT"
    )

    def allow(is_allowed):
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE db_{name} ALLOW_CONNECTIONS {is_allowed}"))
            connection.execute(
                text(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'db_{name}'"
                )
            )

    with served(workplace) as client:
        opened = begin(client)
        mask = draw(counts=predict(client, opened, clicks=[[5, 5, 1]])["mask"]["rle"]["counts"])
        allow(False)
        url = f"/api/photos/{opened['photo']['id']}/changes"
        body = {"lease": opened["lease"], "change_id": "a" * 32, "kind": "click", "mask": mask}
        status, answer = client.ask("POST", url, body)
        assert status == 503
        assert "the database does not answer" in answer["error"]
        allow(True)
        assert client.ask("POST", url, body)[0] == 200
        assert [*masks_of(client, opened)] == [mask["id"]]
    workplace.database.close()
    admin.dispose()
