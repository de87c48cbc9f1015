"""A static page that runs a model in a browser, with nothing sent anywhere.

Its program is built from `web/page` and lies in this package. Of onnxruntime-web, two files of 14 MB are put beside it
when a page is made.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sam_jax.data.framing import frame_image
from sam_jax.data.images import read_image, write_image
from sam_jax.export.onnx_models import make_decoder, make_encoder
from sam_jax.export.options import DecoderOptions
from sam_jax.export.packing import find_packing
from sam_jax.export.web_runtime import read_runtime
from sam_jax.inference.steps import embed_images
from sam_jax.models import Model
from sam_jax.storage import atomic_folder, copy_file, make_folder, write_json
from sam_jax.types import InputError

PROGRAM = Path(__file__).parent / "page"
"""The built page; its sources are in web/page."""
MANIFEST = "model.json"
LARGEST_ENCODER = 200_000_000
"""Bytes of an encoder that a browser still runs in bearable time and memory."""
OF_BROWSERS = (".jpg", ".jpeg", ".png", ".webp")
"""Endings of photos that every browser reads; others become PNG."""


def write_page(
    model: Model,
    folder: str | os.PathLike[str],
    *,
    photos: Sequence[Path] = (),
    runtime: Path | None = None,
) -> None:
    """Write a folder that any web server can serve as it is.

    Args:
        model: Model with its weights.
        folder: Folder to write, which must not hold anything yet.
        photos: Photos that are embedded now, and that the page offers; it then has no encoder. Without photos it has
            the encoder and takes any photo.
        runtime: Folder or .tgz file of the package onnxruntime-web in the version of
            `sam_jax.export.web_runtime.RUNTIME_VERSION`; None to let npm fetch it.

    Raises:
        InputError: The folder has content, a photo cannot be read, the runtime is another one, or the encoder is too
            large for a browser.
        RunError: The disk refuses the files, or npm cannot fetch the runtime.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} has content; name another folder, or empty it")
    # Refused before the models are exported, which takes longer; what has to be fetched is, once they fit.
    given = None if runtime is None else read_runtime(runtime)
    decoder = make_decoder(model, DecoderOptions(masks="all", outputs="low"))
    about = {
        "image_size": model.config.image_encoder.image_size,
        "decoder": "decoder.onnx",
        "photos": [],
    }
    files = {"decoder.onnx": decoder.SerializeToString()}
    if not photos:
        about["encoder"] = "encoder.onnx"
        files["encoder.onnx"] = make_encoder(model, raw=True).SerializeToString()
        if len(files["encoder.onnx"]) > LARGEST_ENCODER:
            raise InputError(
                "the image encoder is too large for a browser: name photos with --photos, which are embedded here"
            )
    ort = given or read_runtime(None)
    with atomic_folder(folder, MANIFEST) as made:
        for file in sorted(PROGRAM.iterdir()):
            copy_file(file, made / file.name)
        make_folder(made / "ort")
        for name, content in (files | {f"ort/{name}": ort[name] for name in ort}).items():
            (made / name).write_bytes(content)
        about["photos"] = _embed(model, photos, made / "photos")
        write_json(made / MANIFEST, about)


def _embed(model: Model, photos: Sequence[Path], folder: Path) -> list[dict]:
    """Embed photos into files, and describe them as the page expects."""
    entries, packing = [], find_packing(model)
    if photos:
        make_folder(folder)
    for number, path in enumerate(photos):
        image = read_image(path)
        framed, framing = frame_image(image, model.config.image_encoder.image_size)
        fitted = np.asarray([framing.fitted], np.int32)
        packed = np.asarray(packing.pack(embed_images(model, framed[None], fitted)))
        is_readable = path.suffix.lower() in OF_BROWSERS
        name = f"{number}{path.suffix.lower() if is_readable else '.png'}"
        if is_readable:
            copy_file(path, folder / name)
        else:
            write_image(folder / name, image)
        (folder / f"{number}.f32").write_bytes(packed.astype("<f4").tobytes())
        entries.append(
            {
                "name": path.name,
                "file": f"{folder.name}/{name}",
                "embedding": f"{folder.name}/{number}.f32",
                "shape": packed.shape,
            }
        )
    return entries
