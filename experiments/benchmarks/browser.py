"""How long a decoder takes in a browser: ViT-B's for one click, in headless Chromium, median of 20.

    python -m experiments.benchmarks.browser [--no-threads]

The weights are random, and so is the embedding, which changes nothing about the time. Needs Chromium and npm, or the
package onnxruntime-web (`--runtime web/node_modules/onnxruntime-web`). Figures: docs/guides/export.md.
"""

import functools
import http.server
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import skimage.data
import tyro
from PIL import Image

from sam_jax.export.web_page import write_page
from sam_jax.models import VIT_B, Model, init_variables

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
"""Of Chromium: it asks no other server for anything."""
MARGIN = 24
"""Pixels of the page around a photo that is shown as a whole."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time a decoder in a browser."""

    clicks: int = 20
    """Number of clicks, after one that is not counted."""
    threads: bool = True
    """Whether the page is isolated from other sites, so that it may use several threads."""
    runtime: Path | None = None
    """Folder or .tgz file of the package onnxruntime-web."""
    decoder: Path | None = None
    """ONNX file of another decoder of ViT-B, made by `sam-jax export` with `--masks all --outputs low`."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, in isolation from other sites if asked to."""

    def __init__(self, *args: Any, isolated: bool, **kwargs: Any) -> None:
        self.isolated = isolated
        super().__init__(*args, **kwargs)

    def end_headers(self) -> None:
        """Adds the headers that let threads share memory."""
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def serve(folder: Path, *, isolated: bool = True) -> Iterator[str]:
    """The address of a folder that is served as long as the block runs."""
    handler = functools.partial(_Handler, directory=str(folder), isolated=isolated)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium without a window.

    Raises:
        FileNotFoundError: There is none on the machine.
    """
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def click_into_photo(page: Any, shape: tuple[int, int], x: float, y: float, **how: Any) -> None:
    """Click at a place of the photo, which the page shows as large as it fits."""
    box = page.locator("canvas").bounding_box()
    height, width = shape
    scale = min((box["width"] - 2 * MARGIN) / width, (box["height"] - 2 * MARGIN) / height)
    left, top = (box["width"] - width * scale) / 2, (box["height"] - height * scale) / 2
    page.mouse.click(box["x"] + left + x * scale, box["y"] + top + y * scale, **how)


def measure(page: Any, shape: tuple[int, int], clicks: int) -> list[float]:
    """Milliseconds of the decoder for a single click, again and again at other places."""
    found = []
    places = np.random.default_rng(0).uniform(0.1, 0.9, (clicks + 1, 2)) * (shape[1], shape[0])
    for x, y in places:
        page.keyboard.press("Escape")
        page.evaluate("delete document.getElementById('status').dataset.milliseconds")
        click_into_photo(page, shape, float(x), float(y))
        page.locator("#status[data-milliseconds]").wait_for()
        found.append(float(page.locator("#status").get_attribute("data-milliseconds")))
    return found[1:]


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    photo = skimage.data.coffee()
    model = Model(VIT_B, jax.device_put(init_variables(VIT_B)))
    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch) / "coffee.png", Path(scratch) / "page"
        Image.fromarray(photo).save(path)
        write_page(model, folder, photos=[path], runtime=options.runtime)
        if options.decoder is not None:
            shutil.copyfile(options.decoder, folder / "decoder.onnx")
        with serve(folder, isolated=options.threads) as address, open_browser() as browser:
            page = browser.new_page(viewport={"width": 1100, "height": 700})
            page.goto(address)
            page.get_by_role("button", name=path.name).click()
            page.get_by_text("Click into the photo").wait_for()
            times = measure(page, photo.shape[:2], options.clicks)
            threads = page.evaluate("crossOriginIsolated ? navigator.hardwareConcurrency : 1")
    print(
        json.dumps(
            {
                "median_ms": float(np.median(times)),
                "best_ms": min(times),
                "threads": min(4, threads),
                "cores": os.cpu_count(),
            }
        )
    )


if __name__ == "__main__":
    main()
