"""Work in the background: compiling, and embedding the photos that people are going to open next."""

import threading
import time
from collections.abc import Callable

from sqlalchemy import select

from sam_jax.data_engine.photos import MissingError, is_free
from sam_jax.data_engine.schema import photos
from sam_jax.data_engine.segmenter import ServedModel
from sam_jax.data_engine.workplace import GoneError, Workplace
from sam_jax.types import RunError

PHOTOS_AHEAD = 4
"""Photos that are embedded ahead for each person, while there are few people."""
_MOST_AHEAD = 48
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 1.0


class Preparation:
    """A thread that compiles the model's programs, and then embeds what is opened next.

    Args:
        workplace: Photos, masks and model.
        say: Prints a line about what went wrong without stopping the work.
    """

    def __init__(self, workplace: Workplace, say: Callable[[str], None]) -> None:
        self._workplace = workplace
        self._say = say
        self._ended = threading.Event()
        self._prepared: set[tuple[int, int]] = set()
        self._thread = threading.Thread(target=self._work, name="preparation", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is being computed is done."""
        self._ended.set()

    def _work(self) -> None:
        self._workplace.model.segmenter.compile()
        while not self._ended.is_set():
            try:
                model = self._workplace.model
                to_do = [
                    number
                    for number in self._find_next()
                    if (model.number, number) not in self._prepared
                ]
                for number in to_do[:1]:
                    self._prepare(model, number)
            except RunError as error:
                self._say(str(error))
                to_do = []
            if not to_do:
                self._ended.wait(_LOOK_SECONDS)

    def _prepare(self, model: ServedModel, number: int) -> None:
        # Who clicks has the processor for themselves.
        while time.monotonic() - self._workplace.last_prompt < _PAUSE_SECONDS:
            if self._ended.wait(_PAUSE_SECONDS / 2):
                return
        self._prepared.add((model.number, number))
        try:
            opened = self._workplace.read_picture(number)
            model.segmenter.embed(opened.key, opened.picture.pixels)
        except (GoneError, MissingError):
            pass  # noted, and said

    def _find_next(self) -> list[int]:
        """Numbers of the photos that people have open, and of those that follow."""
        with self._workplace.database.reading() as connection:
            is_open = photos.c.leased_until >= time.time()
            held = list(connection.execute(select(photos.c.id).where(is_open)).scalars())
            each = max(1, min(PHOTOS_AHEAD, _MOST_AHEAD // max(1, len(held))))
            found = list(held)
            for number in held or [0]:
                query = select(photos.c.id).where(is_free(), photos.c.id > number)
                found += connection.execute(query.order_by(photos.c.id).limit(each)).scalars()
        return list(dict.fromkeys(found))
