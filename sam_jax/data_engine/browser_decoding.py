"""What browsers get that decode by themselves: onnxruntime's program, the decoder, and embeddings of photos."""

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sam_jax.data_engine.photos import ConflictError, MissingError, read_photo_row
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.workplace import Workplace
from sam_jax.export.packing import Packing, find_packing
from sam_jax.export.web_runtime import RUNTIME_VERSION, read_runtime
from sam_jax.types import InputError, RunError

_REFUSAL = "this server lets no browser decode: "


class Offer(NamedTuple):
    """Whether browsers may decode.

    Attributes:
        runtime: Contents of the files of onnxruntime-web, by name; none where browsers may not.
        problem: Why they may not; None where they may.
    """

    runtime: dict[str, bytes]
    problem: str | None


NO_OFFER = Offer({}, "it was started without --decode-in-browser")
"""Browsers may not, as nobody asked for it."""


class _Decoder(NamedTuple):
    """The decoder of one version of the model, or why there is none."""

    digest: str
    packing: Packing
    content: bytes
    problem: str | None


def make_offer(runtime: Path | None) -> Offer:
    """Let browsers decode, if the program for it can be had; people work without it, too.

    Args:
        runtime: Folder or .tgz file of the package onnxruntime-web; None to let npm fetch it.

    Raises:
        InputError: The runtime that is named is another one.
    """
    try:
        return Offer(read_runtime(runtime), None)
    except (InputError, RunError) as error:
        if runtime is not None:
            raise
        return Offer({}, str(error))


class BrowserDecoding:
    """Gives browsers what they need to decode prompts with the version of the model that answers.

    Everything has a digest or a version in its address, so that browsers keep it, and never mix two models.

    Args:
        workplace: Photos, masks and model.
        offer: Whether browsers may decode.
    """

    def __init__(self, workplace: Workplace, offer: Offer) -> None:
        self._workplace = workplace
        self._offer = offer
        self._making = threading.Lock()
        self._decoder: _Decoder | None = None

    def describe(self) -> dict[str, Any]:
        """What a browser has to know of the decoder, which is made now if nobody has asked before; or the problem."""
        if self._offer.problem is not None:
            return {"problem": self._offer.problem}
        model = self._workplace.model
        decoder = self._find_decoder(model.segmenter)
        if decoder.problem is not None:
            return {"problem": decoder.problem}
        return {
            "problem": None,
            "model": model.number,
            "digest": decoder.digest,
            "runtime": RUNTIME_VERSION,
            "image_size": model.segmenter.model.config.image_encoder.image_size,
            "embedding": (1, decoder.packing.channels, *decoder.packing.grid),
        }

    def read_runtime(self, version: str, name: str) -> bytes:
        """A file of onnxruntime-web.

        Raises:
            MissingError: There is no such file.
        """
        if version != RUNTIME_VERSION or name not in self._offer.runtime:
            raise MissingError("there is no such file")
        return self._offer.runtime[name]

    def read_decoder(self, digest: str) -> bytes:
        """The decoder as an ONNX model.

        Args:
            digest: Digest of the model.

        Raises:
            ConflictError: Another model answers now.
            MissingError: There is none for browsers.
        """
        return self._find_served(digest)[1].content

    def read_embedding(self, photo_id: int, digest: str) -> tuple[str, bytes]:
        """The embedding of a photo that somebody has open, and the name of the photo's version.

        Args:
            photo_id: Number of the photo.
            digest: Digest of the model.

        Returns:
            The version, and float32 numbers in the decoder's layout, the lowest byte first.

        Raises:
            ConflictError: Another model answers now, or nobody has the photo open.
            GoneError: The photo cannot be used.
            MissingError: There is no such photo, or nothing for browsers.
        """
        with self._workplace.database.reading() as connection:
            row = read_photo_row(connection, photo_id)
        if row["leased_until"] < time.time():
            raise ConflictError("nobody has this photo open: open it first")
        segmenter, decoder = self._find_served(digest)
        key = self._workplace.embed(row, segmenter)
        packed = decoder.packing.pack(segmenter.find(key).features)
        return key, np.asarray(packed).astype("<f4").tobytes()

    def _find_served(self, digest: str) -> tuple[Segmenter, _Decoder]:
        """The model that answers, if that is the one that a browser has, and its decoder."""
        if self._offer.problem is not None:
            raise MissingError(_REFUSAL + self._offer.problem)
        segmenter = self._workplace.model.segmenter
        if digest != segmenter.digest:
            raise ConflictError("another version of the model answers now")
        decoder = self._find_decoder(segmenter)
        if decoder.problem is not None:
            raise MissingError(_REFUSAL + decoder.problem)
        return segmenter, decoder

    def _find_decoder(self, segmenter: Segmenter) -> _Decoder:
        with self._making:
            if self._decoder is None or self._decoder.digest != segmenter.digest:
                self._decoder = _make_decoder(segmenter)
            return self._decoder


def _make_decoder(segmenter: Segmenter) -> _Decoder:
    packing = find_packing(segmenter.model)
    try:
        from sam_jax.export.onnx_models import make_decoder
        from sam_jax.export.options import DecoderOptions

        made = make_decoder(segmenter.model, DecoderOptions(masks="all", outputs="low"))
        return _Decoder(segmenter.digest, packing, made.SerializeToString(), None)
    except ModuleNotFoundError as error:
        problem = f"{error.name} is not installed on the server: pip install 'sam-jax[export]'"
    except InputError as error:
        problem = f"ONNX cannot hold this model: {error}"
    return _Decoder(segmenter.digest, packing, b"", problem)
