"""How long after a click is its mask on the screen? Measured by the page itself, in Chromium, with the small model.

    python -m experiments.data_engine.click_to_mask

The page takes the time of the mouse's event, and that after the frame in which the mask is drawn.
The guide to annotation has the figures.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from experiments.data_engine.crowd import Server

ARGUMENTS = ("--no-sandbox", "--headless", "--disable-gpu")


def main() -> None:
    """Click, and print how long the masks took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clicks", type=int, default=40)
    clicks = parser.parse_args().clicks
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("error: Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("XDG_CACHE_HOME", str(folder / "cache"))
        (folder / "photos").mkdir()
        Image.fromarray(np.asarray(data.coffee())).save(folder / "photos/coffee.png")
        server = Server(folder / "photos", str(folder / "masks.sqlite"), "default")
        server.start()
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
            page = chromium.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"http://127.0.0.1:{server.port}/")
            page.fill("#name-dialog input", "Ann")
            page.keyboard.press("Enter")
            page.wait_for_selector("body[data-photo]")
            page.keyboard.press("p")  # no previews meanwhile
            box = page.locator("#stage canvas").bounding_box()
            assert box is not None
            chance = random.Random(0)
            for _ in range(clicks):
                x = box["x"] + box["width"] * chance.uniform(0.2, 0.8)
                y = box["y"] + box["height"] * chance.uniform(0.3, 0.7)
                page.mouse.click(x, y)
                page.wait_for_selector("#list li")
                time.sleep(0.5)
                page.keyboard.press("Escape")
                page.wait_for_selector("#list li", state="detached")
            entries = "performance.getEntriesByName('click to mask').map(entry => entry.duration)"
            milliseconds = page.evaluate(entries)[5:]
            chromium.close()
        server.kill()
    print(f"{len(milliseconds)} clicks: median {statistics.median(milliseconds):.0f} ms, ", end="")
    print(f"90 % within {sorted(milliseconds)[int(0.9 * len(milliseconds))]:.0f} ms")


if __name__ == "__main__":
    main()
