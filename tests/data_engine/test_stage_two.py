"""Pre-filled masks in a browser, with the real server: accepted, corrected and rejected, one by one and all at once."""

import contextlib
import sqlite3

import numpy as np
import pytest

from sam_jax.data_engine.database import Database
from sam_jax.data_engine.mask_states import Prompt
from sam_jax.data_engine.pictures import inspect_file
from sam_jax.data_engine.prefilling import ProposedMask, store_proposed
from sam_jax.ops.rle import encode_rle

pytestmark = pytest.mark.slow

SIZE = (150, 210)
COLUMNS = (5, 45, 85, 125, 165)


@pytest.fixture
def server(server, tmp_path):
    """The server of stage 1, with five masks in its first two photos that wait to be looked at."""
    proposed = []
    for column in COLUMNS:
        mask = np.zeros(SIZE, bool)
        mask[40:100, column : column + 30] = True
        prompt = Prompt(None, (float(column), 40.0, column + 30.0, 100.0), (), None)
        proposed.append(ProposedMask(encode_rle(mask, compress=True), prompt, 0.9))
    with contextlib.closing(Database(server.database)) as database:
        for number, name in enumerate(("0_coffee.png", "1_chelsea.png"), start=1):
            version = inspect_file(tmp_path / "photos" / name)._asdict()
            version |= {"height": SIZE[0], "width": SIZE[1]}
            with database.writing() as connection:
                assert store_proposed(connection, number, version, proposed, None) == 5
    return server


def verdicts(server, photo=1):
    """State, verdict and person of a photo's masks, from left to right."""
    with contextlib.closing(sqlite3.connect(server.database)) as connection:
        query = """
            SELECT state, verdict, name FROM masks LEFT JOIN people ON people.id = person_id
            WHERE photo_id = ? AND stage = 2 ORDER BY masks.created_at
        """
        return [*connection.execute(query, (photo,))]


def test_prefilled_masks_are_accepted_corrected_and_rejected(server, page):
    waiting = page.page.locator("#waiting")
    assert waiting.inner_text() == "5 pre-filled wait"
    assert [row[1] for row in page.rows] == ["pre-filled"] * 5
    assert page.facts == "click, or drag a box"

    # A photo is not finished over the heads of masks that wait.
    page.press("Shift+Enter")
    page.page.wait_for_selector("#trouble:visible")
    assert "5 pre-filled masks wait: A accepts and X rejects one" in page.page.inner_text(
        "#trouble"
    )
    page.page.click("#trouble button")

    page.press("a")
    page.wait_for("pre-filled")
    page.press("a")
    page.wait(lambda: waiting.inner_text() == "4 pre-filled wait")
    page.press("x")
    page.wait(lambda: waiting.inner_text() == "3 pre-filled wait")
    page.wait_saved()
    assert verdicts(server)[:3] == [
        ("done", "accepted", "Ann"),
        ("removed", "rejected", "Ann"),
        ("prefilled", None, None),
    ]

    # The third is in hand: a stroke corrects it, and the model goes on from there after a click.
    page.wait_for("pre-filled")
    page.press("b")
    page.drag((100, 70), (118, 70))
    page.wait_for("draft · 0 clicks · 1 stroke")
    page.press("v", "Enter")
    page.wait(lambda: page.page.inner_text("#current-name") == "New mask")
    page.press("a")
    page.wait_for("pre-filled")
    page.click(135, 60, button="right")
    page.wait_for("draft · 1 click")
    page.press("Enter")
    page.wait(lambda: waiting.inner_text() == "1 pre-filled waits")
    page.wait_saved()
    assert [row[:2] for row in verdicts(server)] == [
        ("done", "accepted"),
        ("removed", "rejected"),
        ("done", "corrected"),
        ("done", "corrected"),
        ("prefilled", None),
    ]

    # What was decided is undone, in a page that is loaded again, too.
    page.press("Shift+X")
    page.wait(lambda: not waiting.is_visible())
    page.wait_saved()
    page.page.reload()
    page.open("0_coffee.png")
    page.wait(lambda: len(page.rows) == 3)
    page.press("z")
    page.wait(lambda: waiting.is_visible() and waiting.inner_text() == "1 pre-filled waits")
    page.press("Enter")
    page.wait_saved()
    page.wait(lambda: verdicts(server)[4] == ("done", "accepted", "Ann"))
    page.press("Shift+Enter")

    page.open("1_chelsea.png")
    page.press("Shift+A")
    page.wait(lambda: not waiting.is_visible())
    page.wait_saved()
    assert verdicts(server, photo=2) == [("done", "accepted", "Ann")] * 5
    page.page.click("#statistics")
    page.page.wait_for_selector("#statistics-body table")
    numbers = page.page.inner_text("#statistics-body").split("Pre-filled masks")[1]
    rows = [line.split("\t") for line in numbers.strip().splitlines()]
    assert [row for row in rows if row[0] in ("accepted", "corrected", "rejected", "waiting")] == [
        ["accepted", "7", "70 %"],
        ["corrected", "2", "20 %"],
        ["rejected", "1", "10 %"],
        ["waiting", "0"],
    ]
