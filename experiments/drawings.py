"""What knows drawings and comes with the package, trained, measured and written: a CLIP, and a model that takes text.

    sam-jax train tiny_words
    python -m experiments.drawings runs/tiny_words/clip
    sam-jax train tiny_text
    sam-jax convert runs/tiny_text/weights.safetensors sam_jax/weights/drawings.safetensors --dtype float16
    python -m experiments.zero_shot.text --drawings 200 --grid 16

This program writes the CLIP and measures it. Either run takes about 20 minutes of two CPU cores. Figures:
sam_jax/weights/drawings/MODEL_CARD.md.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sam_jax import SamAutomaticMaskGenerator, load
from sam_jax.checkpoints import load_clip, save_clip
from sam_jax.checkpoints.contents import SHIPPED_CLIP_FOLDER
from sam_jax.data.drawn import DrawnSource
from sam_jax.data.phrased_crops import CropSettings, phrase_example
from sam_jax.data.phrases import list_phrases
from sam_jax.evaluation.phrases import SEED, measure_choices, measure_ranking
from sam_jax.models.clip import ClipModel, embed_images, embed_text


def find_prompt_shift(clip: ClipModel, drawings: int = 100) -> Float[np.ndarray, " d"]:
    """How far features of crops lie from those of phrases about them, on the average of drawings of training."""
    settings = CropSettings(
        image_size=clip.config.image.image_size, patch_size=clip.config.image.patch_size
    )
    source, crops, phrases = DrawnSource(seed=0), [], []
    for index in range(drawings):
        example = source[index]
        things = len(example.objects)
        shown = phrase_example(example, things, settings, np.random.default_rng(index))
        crops.append(embed_images(clip, shown.images, shown.patches))
        looks = [
            str(phrase)
            for thing in example.objects
            for phrase in list_phrases(thing)
            if phrase == phrase.appearance
        ]
        phrases.append(embed_text(clip, looks))
    return np.concatenate(crops).mean(axis=0) - np.concatenate(phrases).mean(axis=0)


def with_prompt_shift(clip: ClipModel) -> ClipModel:
    """The CLIP with the shift that makes prompts of phrases."""
    params = {**clip.variables["params"], "prompt_shift": find_prompt_shift(clip)}
    return ClipModel(
        dataclasses.replace(clip.config, has_prompt_shift=True),
        {"params": params},
        clip.compute,
        clip.tokeniser,
    )


def main() -> None:
    """Write the weights, and measure those that were written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, help="folder of the CLIP that the run left")
    parser.add_argument("--output", type=Path, default=SHIPPED_CLIP_FOLDER)
    parser.add_argument("--drawings", type=int, default=500)
    parser.add_argument("--ranked", type=int, default=0, help="drawings with automatic masks")
    options = parser.parse_args()
    if options.clip.resolve() != options.output.resolve():
        save_clip(options.output, with_prompt_shift(load_clip(options.clip)), dtype="float16")
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
