"""What browsers get to decode by themselves: run by onnxruntime, it gives the masks that the server gives."""

import sys

import jax
import numpy as np
import onnxruntime
import pytest

from sam_jax.data_engine.browser_decoding import NO_OFFER, Offer, make_offer
from sam_jax.data_engine.mask_states import read_prompt
from sam_jax.data_engine.photos import LEASE_SECONDS
from sam_jax.data_engine.segmenter import Segmenter, choose, threshold_logits
from sam_jax.export.web_runtime import RUNTIME_FILES, RUNTIME_VERSION, read_runtime
from sam_jax.inference.mask_prompts import mask_to_logits
from sam_jax.models import Model, init_variables
from sam_jax.ops.rle import compress_counts, decode_rle, encode_rle
from sam_jax.types import InputError, RunError
from tests.data_engine.conftest import served
from tests.data_engine.test_server import begin, predict
from tests.training.conftest import MINIATURE

OFFER = Offer({name: name.encode() for name in RUNTIME_FILES}, None)


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "masks.sqlite")


@pytest.fixture
def client(workplace):
    with served(workplace, offer=OFFER) as client:
        yield client


def fetch(client, path):
    status, content = client.ask("GET", path)
    assert status == 200, content
    return content


def decode(session, embedding, framing, clicks, box=None, previous=None):
    """The answers of the decoder that a browser gets, as a browser asks for them."""
    points = [framing.to_frame(np.array([click[:2] for click in clicks]).reshape(-1, 2))]
    labels = [click[2] for click in clicks] + ([2, 3] if box else [-1])
    points.append(framing.to_frame(np.array(box).reshape(2, 2)) if box else np.zeros((1, 2)))
    mask = np.zeros(framing.low_size, np.float32) if previous is None else previous
    iou, low = session.run(
        ["iou_predictions", "low_res_masks"],
        {
            "image_embeddings": embedding,
            "point_coords": np.concatenate(points)[None].astype(np.float32),
            "point_labels": np.array([labels], np.float32),
            "mask_input": mask[None, None],
            "has_mask_input": np.array([previous is not None], np.float32),
        },
    )
    which = slice(1, None) if previous is None and box is None else slice(1)
    return low[0, which], iou[0, which]


def test_the_decoder_and_the_embedding_give_the_masks_of_the_server(client, workplace):
    opened = begin(client)
    photo, segmenter = opened["photo"], workplace.model.segmenter
    about = client.ask("GET", "/api/decoding")[1]
    assert about["problem"] is None
    assert about["image_size"] == [32, 48]
    assert about["model"] == workplace.model.number
    assert about["digest"] == segmenter.digest == client.ask("GET", "/api/status")[1]["digest"]
    session = onnxruntime.InferenceSession(fetch(client, f"/api/decoders/{about['digest']}"))
    url = f"/api/photos/{photo['id']}/embeddings/{about['digest']}"
    content = fetch(client, f"{url}?version={photo['version']}")
    embedding = np.frombuffer(content, "<f4").reshape(about["embedding"])
    assert embedding.std() > 0
    framing = segmenter.find(photo["version"]).framing
    height, width = photo["height"], photo["width"]

    def check(logits, iou, chosen, answer):
        drawn = {
            "size": [height, width],
            "counts": threshold_logits(logits, framing, (height, width)),
        }
        assert (decode_rle(drawn) == decode_rle(answer["mask"]["rle"])).mean() > 0.999
        np.testing.assert_allclose(iou, answer["mask"]["predicted_iou"], atol=1e-4)
        assert answer["choice"] in (None, chosen)

    clicks = [[70.5, 40.0, 1], [20.0, 90.25, 0]]
    low, iou = decode(session, embedding, framing, clicks[:1])
    best = int(iou.argmax())
    check(low[best], iou[best], best, predict(client, opened, clicks=clicks[:1]))
    again, (again_iou,) = decode(session, embedding, framing, clicks, previous=low[2])
    check(again[0], again_iou, 2, predict(client, opened, clicks=clicks, choice=2))
    box = [10.0, 20.0, 110.0, 80.0]
    (low,), (iou,) = decode(session, embedding, framing, [], box)
    check(low, iou, None, predict(client, opened, box=box))
    base = np.zeros((height, width), bool)
    base[20:60, 30:90] = True
    previous = mask_to_logits(base, framing.fitted, framing.frame)
    (low,), (iou,) = decode(session, embedding, framing, clicks[1:], previous=previous)
    counts = compress_counts(encode_rle(base)["counts"])
    check(low, iou, None, predict(client, opened, clicks=clicks[1:], base=counts))


def test_browsers_keep_what_they_get_by_its_version(client):
    opened = begin(client)
    digest = client.ask("GET", "/api/decoding")[1]["digest"]
    url = f"/api/photos/{opened['photo']['id']}/embeddings/{digest}"
    ages = {
        f"/api/decoders/{digest}": True,
        f"/ort/{RUNTIME_VERSION}/{RUNTIME_FILES[0]}": True,
        f"{url}?version={opened['photo']['version']}": True,
        f"{url}?version=older": False,
        url: False,
        "/api/decoding": False,
    }
    for path, is_kept in ages.items():
        status, headers = client.head(path)
        assert status == 200
        assert headers["cache-control"].endswith("immutable") == is_kept, path
        assert headers["cross-origin-embedder-policy"] == "require-corp"
    kinds = {name: client.head(f"/ort/{RUNTIME_VERSION}/{name}")[1] for name in RUNTIME_FILES}
    assert [kind["content-type"].partition(";")[0] for kind in kinds.values()] == [
        "text/javascript",
        "application/wasm",
    ]


def test_what_is_not_there_is_refused(client, workplace, monkeypatch):
    opened = begin(client)
    digest = workplace.model.segmenter.digest
    number = opened["photo"]["id"]
    wrong = {
        f"/api/photos/{number}/embeddings/{'0' * 64}": (409, "another version of the model"),
        f"/api/decoders/{'0' * 64}": (409, "another version of the model"),
        f"/api/photos/2/embeddings/{digest}": (409, "nobody has this photo open"),
        f"/api/photos/99/embeddings/{digest}": (404, "no photo has the number 99"),
        f"/api/photos/{'9' * 30}/embeddings/{digest}": (404, "no photo"),
        f"/api/photos/x/embeddings/{digest}": (404, "Not Found"),
        f"/ort/{RUNTIME_VERSION}/..%2f..%2fserver.py": (404, ""),
        f"/ort/0.1/{RUNTIME_FILES[0]}": (404, "no such file"),
        f"/ort/{RUNTIME_VERSION}/index.js": (404, "no such file"),
        f"/api/decoders/{'x' * 5000}": (409, "another version"),
        "/api/decoders/%00%ff": (409, "another version"),
    }
    for path, (status, problem) in wrong.items():
        got, answer = client.ask("GET", path)
        assert (got, set(answer)) == (status, {"error"}), path
        assert problem in answer["error"]
        assert len(answer["error"]) < 200
    for path in ("/api/decoding", f"/api/decoders/{digest}", f"/ort/1/{RUNTIME_FILES[0]}"):
        assert client.ask("POST", path, {"digest": digest})[0] == 405
    import sam_jax.data_engine.browser_decoding as module

    url = f"/api/photos/{number}/embeddings/{digest}"
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 2 * LEASE_SECONDS)
    assert client.ask("GET", url)[0] == 409  # the lease has expired
    assert client.said == []


def test_who_lacks_the_token_gets_none_of_it(workplace):
    digest = workplace.model.segmenter.digest
    with served(workplace, token="open sesame", offer=OFFER) as client:
        for path in (
            *("/api/decoding", f"/api/decoders/{digest}", f"/api/photos/1/embeddings/{digest}"),
            f"/ort/{RUNTIME_VERSION}/{RUNTIME_FILES[0]}",
        ):
            assert client.ask("GET", path)[0] == 401


def test_a_server_that_offers_nothing_says_why(workplace, monkeypatch):
    digest = workplace.model.segmenter.digest
    with served(workplace) as client:
        begin(client)
        assert client.ask("GET", "/api/decoding") == (200, {"problem": NO_OFFER.problem})
        for path in (f"/api/decoders/{digest}", f"/api/photos/1/embeddings/{digest}"):
            status, answer = client.ask("GET", path)
            assert status == 404
            assert answer["error"].endswith("without --decode-in-browser")
        assert client.ask("GET", f"/ort/{RUNTIME_VERSION}/{RUNTIME_FILES[0]}")[0] == 404
        assert client.said == []

    def refuse(*_):
        raise InputError("there is no rule for fft")

    with monkeypatch.context() as patch, served(workplace, offer=OFFER) as client:
        patch.setattr("sam_jax.export.onnx_models.make_decoder", refuse)
        problem = "ONNX cannot hold this model: there is no rule for fft"
        assert client.ask("GET", "/api/decoding") == (200, {"problem": problem})
        assert client.ask("GET", f"/api/decoders/{digest}")[0] == 404
    with monkeypatch.context() as patch, served(workplace, offer=OFFER) as client:
        for name in [name for name in sys.modules if name.partition(".")[0] == "onnx"]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "onnx", None)
        patch.delitem(sys.modules, "sam_jax.export.onnx_models", raising=False)
        answer = client.ask("GET", "/api/decoding")[1]
        assert answer["problem"].endswith("on the server: pip install 'sam-jax[export]'")


def test_another_version_of_the_model_has_another_decoder(client, workplace, tmp_path):
    opened = begin(client)
    before = workplace.model
    model = Model(MINIATURE, jax.device_put(init_variables(MINIATURE, 1)))
    other = Segmenter(model, tmp_path / "embeddings", 10**6, pytest.fail)
    workplace.take_up(other, "other")
    after = client.ask("GET", "/api/decoding")[1]
    assert after["digest"] != before.segmenter.digest
    assert after["model"] == before.number + 1
    assert client.ask("GET", f"/api/decoders/{before.segmenter.digest}")[0] == 409
    number, version = opened["photo"]["id"], opened["photo"]["version"]
    content = fetch(client, f"/api/photos/{number}/embeddings/{after['digest']}")
    embedding = np.frombuffer(content, "<f4").reshape(after["embedding"])
    session = onnxruntime.InferenceSession(fetch(client, f"/api/decoders/{after['digest']}"))
    answer = other.answer(version, read_prompt({"clicks": [[9, 9, 1]]}, (100, 100)))
    low, iou = decode(session, embedding, other.find(version).framing, [[9.0, 9.0, 1]])
    np.testing.assert_allclose(low, answer.logits, atol=1e-4)
    assert choose(answer, None) == iou.argmax()


def test_the_runtime_is_fetched_once_or_named(tmp_path, monkeypatch):
    import sam_jax.export.web_runtime as module

    package = tmp_path / "fetched" / "dist"
    package.mkdir(parents=True)
    for name, content in OFFER.runtime.items():
        (package / name).write_bytes(content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_fetch_package", lambda _: tmp_path / "fetched")
    assert make_offer(None) == OFFER

    def fail(_):
        raise RunError("npm could not fetch it")

    monkeypatch.setattr(module, "_fetch_package", fail)
    assert make_offer(None) == OFFER  # from the cache
    assert read_runtime(tmp_path / "fetched") == OFFER.runtime
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert make_offer(None) == Offer({}, "npm could not fetch it")
    with pytest.raises(InputError, match=r"other has no ort-wasm-simd-threaded\.mjs"):
        make_offer(tmp_path / "other")
