"""Stage 2 on micrographs: a detector learns from the masks of 100, and pre-fills others.

    python -m experiments.data_engine.detector DATA --output runs/detector

DATA is BBBC038 as images/ and labels/. The shipped small model embeds and answers; its weights stay as they are.
Measured are AP and AR of boxes on micrographs that took no part, and the share of their nuclei that is pre-filled
correctly (IoU of 0.75 and more); a picture shows the truth, the boxes and the pre-filled masks.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from sam_jax.data.images import write_image
from sam_jax.data.sources import open_source
from sam_jax.data.subset import Subset
from sam_jax.data_engine.detecting import make_detection_config
from sam_jax.data_engine.prefilling import PrefillConfig, propose_masks, share_prefilled
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.evaluation.box_scores import score_boxes
from sam_jax.inference import load
from sam_jax.inference.object_boxes import find_objects, open_detector
from sam_jax.inference.overlay import draw_everything
from sam_jax.messages import print_line
from sam_jax.models import Detector
from sam_jax.ops.rle import decode_rle
from sam_jax.training.loop import WEIGHTS, train
from sam_jax.training.pictures import arrange_views, outline_boxes

SHOWN = 4


def link_records(data: Path, folder: Path, names: list[str]) -> Path:
    """A data set of some micrographs, by links to their files."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            link = folder / part / name
            if not link.exists():
                link.symlink_to((data / part / name).absolute())
    return folder


def draw_rows(segmenter: Segmenter, detector: Detector, held_back: Subset) -> np.ndarray:
    """A row for each of some micrographs: the true masks, the detector's boxes, the pre-filled masks."""
    rows = []
    for index in np.linspace(0, len(held_back) - 1, SHOWN).astype(int).tolist():
        example = held_back[index]
        key = f"picture-{index}"
        segmenter.embed(key, example.image)
        found = find_objects(
            segmenter.model, detector, segmenter.find(key), least_score=PrefillConfig().least_score
        )
        proposed = propose_masks(segmenter, detector, key, PrefillConfig())
        truth = [example.masks[k] for k in range(len(example.masks))]
        rows.append(
            [
                draw_everything(example.image, truth),
                outline_boxes(example.image, found.boxes),
                draw_everything(example.image, [decode_rle(mask.rle) for mask in proposed]),
            ]
        )
    return arrange_views(rows)


def main() -> None:
    """Train, measure, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--enlargements", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    names = sorted(path.name for path in (options.data / "images").iterdir())
    np.random.default_rng(0).shuffle(names)
    wanted = names[: options.train]
    learned = link_records(options.data, options.output / "learned", wanted)
    config = make_detection_config(
        str(learned), options.checkpoint, steps=options.steps, enlargements=options.enlargements
    )
    train(config, options.output / "run")
    trained = time.perf_counter() - started
    model = load(options.checkpoint)
    detector = open_detector(options.output / "run" / WEIGHTS, model)
    unseen = names[options.train : options.train + options.test]
    source = open_source(str(link_records(options.data, options.output / "unseen", unseen)))
    held_back = Subset(source, list(range(len(source))))
    scores = score_boxes(model, detector, held_back)
    print(f"trained in {trained:.0f} s; {scores}")
    segmenter = Segmenter(model, options.output / "embeddings", 1 << 30, print_line)
    for least_iou in (0.5, 0.75, 0.9):
        share = share_prefilled(segmenter, detector, held_back, least_iou=least_iou)
        print(
            f"IoU {least_iou}: {share}, {share.share:.3f} of the objects; {share.precision:.3f} of the masks"
        )
    write_image(options.output / "prefilled.png", draw_rows(segmenter, detector, held_back))
    print(f"{time.perf_counter() - started:.0f} s; {options.output / 'prefilled.png'}")


if __name__ == "__main__":
    main()
