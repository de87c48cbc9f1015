"""Exported models beside JAX and beside the official ONNX: sizes, seconds, differences, and masks in 8 bits.

    python -m experiments.benchmarks.export --variant vit_b --rounds 7
    python -m experiments.benchmarks.export --variant tiny --rounds 15

ViT-B has random weights, the same in all files, and the small model its own. Masks of 8 bits are compared with those of
float32 on photos of scikit-image, which says something with trained weights only. Figures: docs/guides/export.md.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import onnxruntime
import skimage.data
import torch
import tyro

from experiments.benchmarks.timing import print_summaries, summarise, time_in_turns
from experiments.reference import official_model
from experiments.reference_onnx import INPUTS, export_official_decoder, export_official_encoder
from sam_jax import Model, export_model, load
from sam_jax.data.framing import Framing, frame_image, normalise
from sam_jax.export.packing import find_packing
from sam_jax.inference.prompts import make_prompts
from sam_jax.inference.steps import embed_images, predict_masks
from sam_jax.models import VIT_B

JAX, OURS, OFFICIAL, SHORT = "JAX", "our ONNX", "official ONNX", "our ONNX, 8 bits"
CLICKS = ((0.5, 0.5), (0.3, 0.4), (0.7, 0.6), (0.4, 0.75))
"""Clicks on each photo, in shares of its width and height."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare what is exported with JAX, and with what PyTorch exports of the official model."""

    variant: Literal["vit_b", "tiny"] = "vit_b"
    """Model to export."""
    rounds: int = 7
    """How often each task is timed."""
    threads: int = 2
    """Number of threads of onnxruntime."""
    encoder: bool = True
    """Whether the encoder is exported and timed, too."""


def make_models(options: Options, folder: Path) -> tuple[Model, dict[str, dict[str, Path]]]:
    """The model, and the files of its parts by contestant."""
    if options.variant == "tiny":
        model, official = load(), None
    else:
        official = official_model(VIT_B)
        torch.save(official.state_dict(), folder / "official.pth")
        model = load(folder / "official.pth")
    files: dict[str, dict[str, Path]] = {}
    for part in ("decoder", *(("encoder",) if options.encoder else ())):
        paths = {
            name: folder / f"{part}_{index}.onnx"
            for index, name in enumerate((OURS, SHORT, OFFICIAL))
        }
        export_model(model, paths[OURS], part=part)
        export_model(model, paths[SHORT], part=part, quantise=True)
        if official is None:
            del paths[OFFICIAL]
        elif part == "decoder":
            export_official_decoder(official, paths[OFFICIAL])
        else:
            export_official_encoder(official, paths[OFFICIAL])
        files[part] = paths
    return model, files


def open_file(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # the scores of several encoders would stay in memory
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def make_feed(model: Model, embedding: np.ndarray, x: float, y: float) -> dict[str, np.ndarray]:
    """What a decoder takes for one click at a share of the photo's width and height."""
    height, width = frame = model.config.image_encoder.image_size
    arrays = (
        embedding,
        [[[x * width, y * height], [0, 0]]],
        [[1, -1]],
        np.zeros((1, 1, height // 4, width // 4)),
        [0],
        frame,
    )
    return {k: np.asarray(v, np.float32) for k, v in zip(INPUTS, arrays, strict=True)}


def compare(options: Options) -> dict[str, Any]:
    """Everything that is measured, printed on the way."""
    with tempfile.TemporaryDirectory() as folder:
        model, files = make_models(options, Path(folder))
        sizes = {
            part: {name: path.stat().st_size / 1e6 for name, path in paths.items()}
            for part, paths in files.items()
        }
        print(json.dumps({"megabytes": sizes}))
        sessions = {
            part: {name: open_file(path, options.threads) for name, path in paths.items()}
            for part, paths in files.items()
        }
    frame = model.config.image_encoder.image_size
    photos = [
        frame_image(photo, frame)[0]
        for photo in (skimage.data.coffee(), skimage.data.astronaut(), skimage.data.cat())
    ]
    fitted = np.array([frame])
    packing = find_packing(model)
    embedded = [embed_images(model, photo[None], fitted) for photo in photos]
    packed = [np.asarray(packing.pack(embedding)) for embedding in embedded]
    tasks: dict[str, dict[str, Callable[[], Any]]] = {}
    feed = make_feed(model, packed[0], *CLICKS[0])
    prompts = make_prompts(
        Framing(frame, frame, frame),
        point_coords=feed["point_coords"][:, :1],
        point_labels=feed["point_labels"][:, :1],
    )

    def decode_in_jax() -> Any:
        answer = predict_masks(model, embedded[0], prompts, multimask_output=True)
        return jax.block_until_ready(answer)

    def runner(session: Any, feed: dict[str, np.ndarray]) -> Callable[[], Any]:
        known = {given.name for given in session.get_inputs()}
        wanted = [out.name for out in session.get_outputs() if out.name != "masks"]
        given = {name: array for name, array in feed.items() if name in known}
        return lambda: session.run(wanted, given)

    tasks["decode, low-resolution masks"] = {
        JAX: decode_in_jax,
        **{name: runner(session, feed) for name, session in sessions["decoder"].items()},
    }
    if options.encoder:
        pixels = {"x": np.asarray(normalise(photos[0][None], fitted)).transpose(0, 3, 1, 2)}
        tasks["encode"] = {
            JAX: lambda: jax.block_until_ready(embed_images(model, photos[0][None], fitted)),
            **{name: runner(session, pixels) for name, session in sessions["encoder"].items()},
        }
    figures: dict[str, Any] = {"megabytes": sizes}
    for task, contestants in tasks.items():
        figures[task] = summarise(time_in_turns(contestants, options.rounds), JAX)
        print_summaries({task: figures[task]}, JAX)
    figures["difference from JAX"] = _compare_answers(model, embedded, packed, sessions)
    figures["IoU of 8 bits with float32"] = _compare_masks(model, photos, packed, sessions)
    return figures


def _compare_answers(model: Model, embedded: Any, packed: Any, sessions: Any) -> dict[str, float]:
    """Largest difference of low-resolution logits over the largest logit, of each ONNX file from JAX."""
    frame = model.config.image_encoder.image_size
    worst: dict[str, float] = {}
    for embedding, array in zip(embedded, packed, strict=True):
        for x, y in CLICKS:
            feed = make_feed(model, array, x, y)
            prompts = make_prompts(
                Framing(frame, frame, frame),
                point_coords=feed["point_coords"][:, :1],
                point_labels=feed["point_labels"][:, :1],
            )
            answer = predict_masks(model, embedding, prompts, multimask_output=True)
            logits = np.asarray(answer.logits[0, 0])
            for name, session in sessions["decoder"].items():
                [low] = session.run(["low_res_masks"], feed)
                far = np.abs(low[0, 1:] - logits).max() / np.abs(logits).max()
                worst[name] = max(worst.get(name, 0.0), float(far))
    return worst


def _compare_masks(model: Model, photos: Any, packed: Any, sessions: Any) -> dict[str, float]:
    """Mean IoU between the best masks of float32 and of 8 bits, over photos and clicks."""
    found: dict[str, list[float]] = {"decoder of 8 bits": []}
    if "encoder" in sessions:
        found["both of 8 bits"] = []
    frame = np.array([model.config.image_encoder.image_size])
    decoders = sessions["decoder"]
    for photo, array in zip(photos, packed, strict=True):
        embeddings = {"decoder of 8 bits": array}
        if "encoder" in sessions:
            pixels = np.asarray(normalise(photo[None], frame)).transpose(0, 3, 1, 2)
            embeddings["both of 8 bits"] = sessions["encoder"][SHORT].run(None, {"x": pixels})[0]
        for x, y in CLICKS:
            iou, low = decoders[OURS].run(
                ["iou_predictions", "low_res_masks"], make_feed(model, array, x, y)
            )
            best = 1 + int(iou[0, 1:].argmax())
            exact = low[0, best] > 0
            for name, embedding in embeddings.items():
                [other] = decoders[SHORT].run(["low_res_masks"], make_feed(model, embedding, x, y))
                mask = other[0, best] > 0
                union = (mask | exact).sum()
                found[name].append(float((mask & exact).sum() / union) if union else 1.0)
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    print(json.dumps(compare(tyro.cli(Options))))


if __name__ == "__main__":
    main()
