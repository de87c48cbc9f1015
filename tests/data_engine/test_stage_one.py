"""The whole of stage 1 in a browser, with the real server and the shipped model, whose input is small here.

The server is killed in the middle. Meanwhile other people work, too: nobody loses a mask.
"""

import contextlib
import sqlite3
import threading

import pytest

from experiments.data_engine.crowd import Crowd as CrowdLog
from experiments.data_engine.crowd import act, check

pytestmark = pytest.mark.slow

PEOPLE, ACTIONS = 3, 4


def masks_in(server, photo=1):
    """The masks of a photo as the database has them."""
    with contextlib.closing(sqlite3.connect(server.database)) as connection:
        connection.row_factory = sqlite3.Row
        query = (
            "SELECT masks.*, people.name AS person FROM masks JOIN people ON people.id = person_id"
        )
        return [*connection.execute(f"{query} WHERE photo_id = ? ORDER BY created_at", (photo,))]


def test_the_whole_of_stage_one(server, page):
    # The mouse alone shows what a click would give.
    before = page.picture()
    page.page.mouse.move(*page.at(100, 60))
    page.wait(lambda: page.picture() != before)

    page.press("p")  # no further ones: they cost time
    page.click(100, 60)
    page.wait_for("draft · 1 click")
    page.wait(lambda: page.page.locator("[data-choice]:visible").count() == 3)
    chosen = page.page.locator("[data-choice][aria-pressed=true]")
    first = int(chosen.get_attribute("data-choice"))
    page.press("Tab")
    page.wait(lambda: chosen.get_attribute("data-choice") == str((first + 1) % 3))
    page.press("3")
    page.wait(lambda: chosen.get_attribute("data-choice") == "2")
    page.click(20, 20, button="right")
    page.wait_for("2 clicks")
    page.click(110, 70)
    page.wait_for("3 clicks")
    page.press("z", "z")
    page.wait_for("1 click")
    page.press("y")
    page.wait_for("2 clicks")

    page.press("b")
    page.page.mouse.wheel(0, -300)
    page.drag((60, 40), (120, 60))
    page.wait_for("1 stroke")
    page.press("e")
    page.drag((80, 40), (80, 60))
    page.wait_for("2 strokes")
    page.press("v", "l")
    page.page.keyboard.type("cup")
    page.press("Enter", "Enter")
    page.wait(lambda: page.page.inner_text("#current-name") == "New mask")
    assert [row[1] for row in page.rows] == ["cup"]
    page.wait_saved()
    (cup,) = masks_in(server)
    assert (cup["state"], cup["label"], cup["strokes"], cup["person"]) == ("done", "cup", 2, "Ann")

    # The next mask overlaps it and does not change it; one that is skipped is counted.
    page.drag((50, 20), (160, 120))
    page.wait_for("draft · 1 click")
    page.press("Enter")
    page.click(180, 20)
    page.wait_for("draft · 1 click")
    page.press("s")
    page.wait(lambda: len(page.rows) == 2)
    page.wait_saved()
    states = [mask["state"] for mask in masks_in(server)]
    assert states == ["done", "done", "skipped"]
    assert masks_in(server)[0]["counts"] == cup["counts"]

    # A mask that is done is taken in hand again, and its first click is a negative one.
    page.press("j")
    page.wait_for("done · 2 clicks")
    page.page.keyboard.down("Alt")
    page.click(110, 100)
    page.page.keyboard.up("Alt")
    page.wait_for("done · 3 clicks")
    page.wait_saved()
    assert masks_in(server)[0]["counts"] != cup["counts"]
    page.press("z")
    page.wait_for("done · 2 clicks")
    assert masks_in(server)[0]["counts"] == cup["counts"]
    page.press("Escape", "h", "o")
    pressed = [page.page.get_attribute(f"#{name}", "aria-pressed") for name in ("hide", "outline")]
    assert pressed == ["true", "true"]
    page.press("h", "o")

    # A page that is loaded again has all of it.
    rows = page.rows
    page.page.reload()
    page.open("0_coffee.png")
    page.wait(lambda: [row[:2] for row in page.rows] == [row[:2] for row in rows])
    page.press(
        "z", "z"
    )  # also what was done before: a skipped mask is in hand again, and its click is taken back
    page.wait(lambda: len(page.rows) == 2 and page.facts == "click, or drag a box")
    page.press("y")
    page.wait_for("draft · 1 click")

    # The server is killed while this person and others are at work.
    log = CrowdLog()
    crowd = [
        threading.Thread(target=act, args=(server.port, f"person {number}", ACTIONS, log))
        for number in range(PEOPLE)
    ]
    for thread in crowd:
        thread.start()
    page.wait(lambda: len(log.waits) >= 2)
    server.kill()
    page.click(150, 30, button="right")
    page.page.wait_for_selector("#trouble:visible")
    assert "The server does not answer. Trying again; nothing is lost." in page.page.inner_text(
        "#trouble"
    )
    server.start()
    page.wait_for("draft · 2 clicks")
    page.wait_saved()
    page.wait(lambda: page.page.locator("#trouble:visible").count() == 0)
    for thread in crowd:
        thread.join()
    assert check(server, log) == []
    assert len(log.waits) == PEOPLE * ACTIONS
    page.press("Enter")
    page.wait_saved()
    assert [mask["state"] for mask in masks_in(server)] == ["done", "done", "done"]

    # What others have is left to them, and a damaged photo is passed over.
    page.press("Shift+Enter")
    page.wait(lambda: page.page.inner_text("#photo-name") == "4_cat.png")
    rows = page.page.locator("#photo-dialog[open] li")

    def read_list():
        page.press("g")
        page.wait(lambda: rows.count() == 6)
        read = rows.all_inner_texts()
        page.press("Escape")
        page.wait(lambda: rows.count() == 0)
        return read

    # The server looks at photos ahead, one after another.
    page.wait(lambda: any("5_broken.png is not an image" in row for row in read_list()))
    listed = read_list()
    assert [row for row in listed if "finished" in row and "0_coffee" in row]
    assert sum("with person" in row for row in listed) == PEOPLE
    page.press("ArrowLeft")
    page.open("0_coffee.png")
    assert len(page.rows) == 3
    page.page.click("#statistics")
    page.page.wait_for_selector("#statistics-body table")
    numbers = page.page.inner_text("#statistics-body")
    assert "1 / 6" in numbers
    assert "Ann" in numbers
    measured = page.page.evaluate("performance.getEntriesByName('click to mask').length")
    assert measured >= 1
