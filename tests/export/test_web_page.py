"""The page in a real browser: a photo goes in, a click, and the mask that comes out is Python's."""

import contextlib
import json
import os
import re
import shutil

import numpy as np
import onnx
import pytest
import skimage.data
from PIL import Image

from experiments.benchmarks.browser import click_into_photo, open_browser
from experiments.benchmarks.browser import serve as serve_folder
from sam_jax.cli.main import main
from sam_jax.export.web_page import PROGRAM, write_page
from sam_jax.export.web_runtime import RUNTIME_FILES, RUNTIME_VERSION
from sam_jax.inference import SamPredictor, load
from sam_jax.types import InputError
from tests.docs.blocks import ROOT
from tests.missing import leave_out

WEB = ROOT / "web"
INSTALLED = WEB / "node_modules" / "onnxruntime-web" / "dist"
PHOTO = skimage.data.coffee()[:, :500]
CLICK = 300, 165


@pytest.fixture(scope="module")
def serve():
    """Serves a folder and returns its address."""
    with contextlib.ExitStack() as stack:
        yield lambda folder: stack.enter_context(serve_folder(folder))


@pytest.fixture(scope="module")
def browser():
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        leave_out("no Chromium on this machine")
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1100, "height": 700}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    yield page
    context.close()


@pytest.fixture(scope="module")
def runtime():
    return INSTALLED if INSTALLED.is_dir() else None


@pytest.fixture(scope="module")
def small_page(tmp_path_factory, runtime):
    folder = tmp_path_factory.mktemp("pages") / "small"
    write_page(load(image_size=256), folder, runtime=runtime)
    return folder


def read_download(page, action):
    with page.expect_download() as download:
        action()
    return download.value.suggested_filename, np.asarray(Image.open(download.value.path()))


@pytest.mark.slow
def test_a_click_gives_the_mask_that_python_gives(page, serve, small_page, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "coffee.png")
    page.goto(serve(small_page))
    page.get_by_text("Open a photo, or drop one here.").wait_for()
    page.locator("#file").set_input_files(tmp_path / "coffee.png")
    page.get_by_text("Click into the photo").wait_for()
    click_into_photo(page, PHOTO.shape[:2], *CLICK)
    page.get_by_text(re.compile(r"Decoded in \d+ ms")).wait_for()
    page.screenshot(path=tmp_path / "page.png")
    name, best = read_download(page, lambda: page.keyboard.press("s"))
    assert name == "coffee_mask.png"
    assert page.get_by_role("radio").count() == 3
    predictor = SamPredictor(load(image_size=256))
    predictor.set_image(PHOTO)
    masks, iou, _ = predictor.predict(np.array([CLICK]), np.array([1]))
    assert set(np.unique(best)) == {0, 255}
    assert 0.01 < masks[iou.argmax()].mean() < 0.9
    # The browser resizes the photo in another way than Pillow at a number here and there.
    assert np.mean((best[..., 0] > 0) == masks[iou.argmax()]) > 0.999
    for key, mask in zip("123", masks, strict=True):
        page.keyboard.press(key)
        _, chosen = read_download(page, page.get_by_text("Save mask").click)
        assert np.mean((chosen[..., 0] > 0) == mask) > 0.999
    click_into_photo(page, PHOTO.shape[:2], 30, 20, button="right")
    page.get_by_text("all prompts together").wait_for()
    _, both = read_download(page, lambda: page.keyboard.press("s"))
    expected, *_ = predictor.predict(
        np.array([CLICK, (30, 20)]), np.array([1, 0]), multimask_output=False
    )
    assert np.mean((both[..., 0] > 0) == expected[0]) > 0.999
    assert page.locator("#error").is_hidden()


@pytest.mark.slow
def test_ready_photos_need_no_encoder(page, serve, small, tmp_path, runtime):
    photo = skimage.data.astronaut()[100:250:2, 100:400:3]
    Image.fromarray(photo).save(tmp_path / "photo.bmp")
    command = ["export", str(tmp_path / "small.safetensors"), "--page", str(tmp_path / "page")]
    small_weights(small, tmp_path / "small.safetensors")
    options = ["--photos", str(tmp_path / "photo.bmp"), "--runtime", str(runtime)]
    assert main([*command, *(options if runtime else options[:2])]) == 0
    assert not (tmp_path / "page" / "encoder.onnx").exists()
    page.goto(serve(tmp_path / "page"))
    page.get_by_role("button", name="photo.bmp").click()
    page.get_by_text("Click into the photo").wait_for()
    click_into_photo(page, photo.shape[:2], 40, 30)
    page.get_by_text(re.compile(r"Decoded in \d+ ms")).wait_for()
    _, mask = read_download(page, lambda: page.keyboard.press("s"))
    predictor = SamPredictor(small.model)
    predictor.set_image(photo)
    masks, iou, _ = predictor.predict(np.array([(40, 30)]), np.array([1]))
    assert np.mean((mask[..., 0] > 0) == masks[iou.argmax()]) > 0.999


def small_weights(pair, path):
    from sam_jax.checkpoints import save_checkpoint

    save_checkpoint(path, pair.config, dict(pair.model.variables))


@pytest.mark.slow
def test_errors_are_shown_on_the_page(page, serve, small_page, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(small_page, broken)
    decoder = broken / "decoder.onnx"
    decoder.write_bytes(decoder.read_bytes()[:100_000])
    # Browsers take what has been the same for long to stay so, and tell versions by whole seconds.
    os.utime(decoder, (1e9, 1e9))
    address = serve(broken)
    page.goto(address)
    page.get_by_role("alert").get_by_text("protobuf").wait_for()
    model = onnx.load(small_page / "decoder.onnx")
    model.opset_import[0].version = 99
    decoder.write_bytes(model.SerializeToString())
    os.utime(decoder, (1.1e9, 1.1e9))
    page.reload()
    page.get_by_role("alert").get_by_text("opset 99").wait_for()
    shutil.copy(small_page / "decoder.onnx", decoder)
    os.utime(decoder, (1.2e9, 1.2e9))
    (broken / "encoder.onnx").unlink()
    page.reload()
    page.get_by_text("encoder.onnx cannot be loaded: 404").wait_for()
    page.goto(serve(small_page))
    page.get_by_text("Open a photo").first.wait_for()
    page.get_by_text("or drop one here").wait_for()
    (tmp_path / "text.png").write_text("no photo")
    page.locator("#file").set_input_files(tmp_path / "text.png")
    page.get_by_text("text.png is not a photo that this browser can read").wait_for()


def test_bad_input_is_refused_and_leaves_no_folder(tmp_path, small, runtime):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="full has content; name another folder"):
        write_page(small.model, full)
    other = tmp_path / "other"
    with pytest.raises(InputError, match=r"full has no ort-wasm-simd-threaded\.mjs"):
        write_page(small.model, other, runtime=full)
    with pytest.raises(InputError, match=r"mine\.txt is no \.tgz file"):
        write_page(small.model, other, runtime=full / "mine.txt")
    with pytest.raises(InputError, match=r"none\.png"):
        write_page(small.model, other, photos=[tmp_path / "none.png"], runtime=runtime)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_encoder_too_large_for_a_browser_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr("sam_jax.export.web_page.LARGEST_ENCODER", 1000)
    with pytest.raises(InputError, match="name photos with --photos"):
        write_page(small.model, tmp_path / "page")
    assert not list(tmp_path.iterdir())


def test_the_page_was_built_with_the_runtime_that_is_fetched():
    packages = json.loads((WEB / "package.json").read_text())["devDependencies"]
    assert packages["onnxruntime-web"] == RUNTIME_VERSION
    assert not any((PROGRAM / name).exists() for name in RUNTIME_FILES)
