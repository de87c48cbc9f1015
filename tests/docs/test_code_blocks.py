"""Every code block of README and documentation, run from top to bottom of its page as a reader would."""

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import jax
import numpy as np
import pytest
import skimage.data
import skimage.transform
from PIL import Image

from sam_jax.checkpoints import SHIPPED, SHIPPED_FILES, save_checkpoint
from sam_jax.cli.main import main
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    abstract_variables,
)
from tests.docs.blocks import PAGES, ROOT, read_blocks, split_commands
from tests.docs.data_sets import write_data_sets

pytestmark = pytest.mark.slow

SMALL_VIT = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(64, 64),
        width=32,
        depth=2,
        num_heads=2,
        window_size=2,
        global_blocks=(1,),
        out_channels=32,
    ),
    prompt_encoder=PromptEncoderConfig(width=32),
    mask_decoder=MaskDecoderConfig(width=32, depth=1, mlp_width=64, iou_head_width=32),
)
"""What stands for the official ViT-B and for the weights in the package: built alike, small, with random weights."""

WITH_BLOCKS = [page for page in PAGES if any(b.reason is None for b in read_blocks(page))]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def draw_sure_weights():
    """Random weights whose masks have sharp edges and a high predicted IoU, so that filters let some through."""
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32),
        abstract_variables(SMALL_VIT),
    )
    decoder = variables["params"]["mask_decoder"]
    decoder["iou_prediction_head"]["layers_2"] = {
        "kernel": np.zeros((32, 4), np.float32),
        "bias": np.ones(4, np.float32),
    }
    for number in range(4):
        decoder[f"output_hypernetworks_mlps_{number}"]["layers_2"]["kernel"] *= 1000
    return variables


@pytest.fixture(scope="module")
def official_home(tmp_path_factory):
    """A local server of a small model under the official name: its address, and the folder of its files."""
    folder = tmp_path_factory.mktemp("home")
    path = folder / "sam_vit_b_01ec64.pth"
    variables = draw_sure_weights()
    save_checkpoint(path, SMALL_VIT, variables)
    save_checkpoint(path.with_suffix(".safetensors"), SMALL_VIT, variables)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", path
        server.shutdown()
        thread.join()


@pytest.fixture
def workshop(official_home, tmp_path, monkeypatch):
    """A working folder with a reader's photos and data sets, where downloads come from a local server."""
    home, official = official_home
    digest = hashlib.sha256(official.read_bytes()).digest()
    module = "sam_jax.checkpoints.downloads"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(f"{module}.OFFICIAL_HOME", home)
    monkeypatch.setattr(
        f"{module}._hash_is_right",
        lambda path, name: hashlib.sha256(path.read_bytes()).digest() == digest,
    )
    monkeypatch.setitem(SHIPPED_FILES, SHIPPED, official.with_suffix(".safetensors"))
    first = jax.devices()[:1]  # each device more would compile programs of its own
    for name, answer in {"devices": first, "local_devices": first, "device_count": 1}.items():
        monkeypatch.setattr(jax, name, lambda answer=answer: answer)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)  # compiling takes most of the time
    monkeypatch.chdir(tmp_path)
    photo = skimage.transform.resize(skimage.data.astronaut(), (480, 640), anti_aliasing=True)
    Image.fromarray((photo * 255).astype(np.uint8)).save("photo.jpg")
    write_data_sets(tmp_path)
    yield tmp_path
    jax.config.update("jax_disable_most_optimizations", before)


def run_shell(text):
    for words in split_commands(text):
        assert words[0] == "sam-jax"
        assert main(words[1:]) == 0, " ".join(words)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs_from_top_to_bottom(page, workshop):
    names = {"__name__": "__main__"}
    # What a reader writes runs without the strictness of these tests.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in read_blocks(page):
            if block.reason is not None:
                continue
            if block.title is not None:
                (workshop / block.title).write_text(block.runnable, encoding="utf-8")
            elif block.language == "python":
                exec(compile(block.runnable, f"{block.page}:{block.line}", "exec"), names)
            else:
                run_shell(block.runnable)
    assert os.listdir(workshop)
