"""The page decodes by itself: its masks and choices are those of the server, which takes over where that fails."""

import contextlib
import json
import sqlite3

import pytest

from experiments.data_engine.crowd import ask
from sam_jax.ops.rle import decode_rle
from tests.data_engine.test_bundle import WEB

pytestmark = pytest.mark.slow

INSTALLED = WEB / "node_modules" / "onnxruntime-web"


@pytest.fixture
def command(weights):
    runtime = ("--runtime", str(INSTALLED)) if INSTALLED.is_dir() else ()
    return str(weights[0]), "--decode-in-browser", *runtime


@pytest.fixture
def check_mask(server):
    """Compares the mask that was changed last with what the server makes of its prompt; returns the prompt."""

    def check(*, is_best=False):
        with contextlib.closing(sqlite3.connect(server.database)) as connection:
            query = (
                "SELECT masks.counts, masks.prompt, masks.model_id, photos.height, photos.width "
                "FROM masks JOIN photos ON photos.id = photo_id ORDER BY updated_at DESC"
            )
            counts, saved, model, *size = connection.execute(query).fetchone()
        prompt = json.loads(saved)
        asked = prompt | ({"choice": None} if is_best else {})
        status, answer = ask(server.port, "POST", "/api/photos/1/predict", {"prompt": asked})
        assert status == 200, answer
        found = decode_rle({"size": size, "counts": counts})
        expected = decode_rle(answer["mask"]["rle"])
        assert 0.001 < expected.mean() < 0.999
        assert (found == expected).mean() >= 0.999
        assert model == answer["model"]
        assert answer["choice"] in (None, prompt["choice"])
        return prompt

    return check


def test_the_page_decodes_as_the_server_does(page, check_mask):
    asked = []
    page.page.on("request", lambda request: asked.append(request.url.partition("/api/")[2]))
    state = page.page.locator("#decoding")
    page.press("p", "d")
    page.wait(lambda: state.get_attribute("data-state") == "browser", seconds=300)
    assert page.page.evaluate("crossOriginIsolated")
    page.click(100, 60)
    page.wait_for("draft · 1 click")
    page.wait(lambda: page.page.locator("[data-choice]:visible").count() == 3)
    page.wait_saved()
    check_mask(is_best=True)
    page.press("3")
    page.click(20, 20, button="right")
    page.click(110, 70)
    page.wait_for("3 clicks")
    page.wait_saved()
    assert check_mask()["choice"] == 2
    page.press("Enter")
    page.drag((50, 20), (160, 120))
    page.wait_for("draft · 1 click")
    page.wait_saved()
    assert len(check_mask()["box"]) == 4
    page.press("Enter", "b")
    page.drag((60, 40), (120, 60))
    page.wait_for("1 stroke")
    page.press("v")
    page.click(40, 100)
    page.wait_for("1 click")
    page.wait_saved()
    assert check_mask()["base"]

    # Another version of the model answers on the server: it is fetched.
    page.page.route("**/api/status", lambda route: route.fulfill(json=turn_digest(route)), times=1)
    with page.page.expect_request("**/api/decoding"):
        pass
    page.wait(lambda: state.get_attribute("data-state") == "browser", seconds=300)

    # What was chosen is remembered, and the server does what this browser cannot.
    assert not [url for url in asked if url.endswith("predict")]
    page.page.route("**/api/decoders/*", lambda route: route.abort())
    page.page.reload()
    page.page.get_by_text("The server decodes: ").wait_for()
    assert state.get_attribute("data-state") == "server"
    page.open("0_coffee.png")
    page.press("Escape")
    page.click(150, 30)
    page.wait_for("1 click")
    assert [url for url in asked if url.endswith("predict")]
    page.page.route("**/api/decoding", lambda route: route.fulfill(json={"problem": "no rule"}))
    page.press("d")
    page.page.get_by_text("The server decodes: no rule").wait_for()


def turn_digest(route):
    return route.fetch().json() | {"digest": "0" * 64}
