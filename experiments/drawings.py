"""The small CLIP of drawings that comes with the package: trained, measured and written.

    sam-jax train tiny_words
    python -m experiments.drawings runs/tiny_words/clip

The run takes about 15 minutes of two CPU cores. Figures: sam_jax/weights/drawings/MODEL_CARD.md.
"""

import argparse
from pathlib import Path

from sam_jax import SamAutomaticMaskGenerator, load
from sam_jax.checkpoints import load_clip, save_clip
from sam_jax.checkpoints.contents import SHIPPED_CLIP_FOLDER
from sam_jax.data.drawn import DrawnSource
from sam_jax.evaluation.phrases import SEED, measure_choices, measure_ranking


def main() -> None:
    """Write the weights, and measure those that were written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, help="folder of the CLIP that the run left")
    parser.add_argument("--output", type=Path, default=SHIPPED_CLIP_FOLDER)
    parser.add_argument("--drawings", type=int, default=500)
    parser.add_argument("--ranked", type=int, default=0, help="drawings with automatic masks")
    options = parser.parse_args()
    if options.clip.resolve() != options.output.resolve():
        save_clip(options.output, load_clip(options.clip), dtype="float16")
    clip = load_clip(options.output)
    for held_back in (False, True):
        for size in ((192, 256), (480, 640)):
            source = DrawnSource(seed=SEED, size=size, held_back=held_back)
            choices = measure_choices(clip, source, options.drawings)
            print(f"{source.name}, {size[0]}x{size[1]}: {choices}", flush=True)
    if options.ranked:
        generator = SamAutomaticMaskGenerator(load())
        source = DrawnSource(seed=SEED, size=(192, 256), held_back=True)
        print(measure_ranking(generator, clip, source, options.ranked))


if __name__ == "__main__":
    main()
