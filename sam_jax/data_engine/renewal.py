"""Taking up, while people work, the version of the model that is put in use."""

import threading
import time
import traceback
from collections.abc import Callable

from sqlalchemy import select

from sam_jax.data_engine.photos import MissingError
from sam_jax.data_engine.schema import photos
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.versions import Version, find_version_in_use, load_version
from sam_jax.data_engine.workplace import GoneError, Workplace
from sam_jax.models import Model
from sam_jax.types import InputError, RunError

_LOOK_SECONDS = 2.0


class Renewal:
    """A thread that looks which version is in use, and lets that one answer as soon as it is ready.

    The version before answers until then. Nobody's work depends on it: a prompt is answered by one version as a whole,
    and a mask that is there changes when somebody clicks into it again.

    Args:
        workplace: Photos, masks and model.
        make_segmenter: Makes what answers prompts of a model.
        say: Prints a line.
    """

    def __init__(
        self,
        workplace: Workplace,
        make_segmenter: Callable[[Model], Segmenter],
        say: Callable[[str], None],
    ) -> None:
        self._workplace = workplace
        self._make_segmenter = make_segmenter
        self._say = say
        self._refused: tuple[int, str] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="renewal", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is being loaded is ready."""
        self._ended.set()

    def look(self) -> None:
        """Take the version that is in use up, if it is another than the one that answers.

        Raises:
            RunError: The database cannot be reached.
        """
        with self._workplace.database.reading() as connection:
            version = find_version_in_use(connection)
        if version is None or version.model == self._workplace.model.number:
            self._refused = None
            return
        try:
            self._take_up(version)
        except InputError as error:
            refused = (version.number, str(error))
            if refused != self._refused:  # said once, and tried again: the file may come back
                self._say(f"version {version.number} cannot be taken up: {error}")
            self._refused = refused

    def _take_up(self, version: Version) -> None:
        version, model = load_version(self._workplace.database, version)
        segmenter = self._make_segmenter(model)
        segmenter.compile()
        for number in self._list_open():
            try:
                opened = self._workplace.read_picture(number)
                segmenter.embed(opened.key, opened.picture.pixels)
            except (GoneError, MissingError):
                pass  # noted, and said
        assert version.name is not None
        self._workplace.take_up(segmenter, version.name)
        self._say(f"version {version.number} of the model answers now: {version.name}")

    def _list_open(self) -> list[int]:
        """Numbers of the photos that people have open."""
        query = select(photos.c.id).where(photos.c.leased_until >= time.time())
        with self._workplace.database.reading() as connection:
            return list(connection.execute(query).scalars())

    def _work(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                self.look()
            except RunError as error:
                self._say(str(error))
            except Exception:  # as of a device without memory: people go on with the version before
                self._say(traceback.format_exc())
                self._ended.wait(60)
