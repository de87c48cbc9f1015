"""`sam-jax predict`: segment objects in a photo by prompts."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from sam_jax.cli.options import DEFAULT_CHECKPOINT, UNSET, Checkpoint

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from sam_jax.cli.prompt_options import PhotoPrompts
    from sam_jax.inference import SamPredictor
    from sam_jax.inference.text_prompts import PhraseAnswer
    from sam_jax.models import Model
    from sam_jax.models.clip import ClipModel

DOUBTFUL = 0.5
"""Predicted IoU below which a mask of the small model is more likely wrong than right."""

_MASKS_PER_OBJECT = tyro.conf.create_mutex_group(required=False, title="masks for each object")


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Segment the objects that clicks, boxes or rough masks mark in a photo, or that phrases name.

    Points, negative points, one box, one mask and one phrase together mark one object. Several boxes, several masks, or
    equally many of both, mark as many objects, and so do several phrases.

    Example: sam-jax predict photo.jpg --point 320,240 --negative 40,60
    """

    image: Annotated[Positional[Path], arg(metavar="IMAGE")]
    """The photo to segment."""
    point: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y")] = ()
    """A click on the object, in pixels from the upper left corner of the photo."""
    negative: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X,Y")] = ()
    """A click beside the object."""
    box: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="X0,Y0,X1,Y1")] = ()
    """A box around an object: left, top, right, bottom."""
    mask: Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="M.png")] = ()
    """A rough mask of an object: an image of the photo's size, black outside the object."""
    text: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PHRASE")] = ()
    """What to look for, such as "a wheel", with weights that were trained with text. Repeat it for more objects."""
    instances: FlagCreatePairsOff[bool] = False
    """Find all objects that a phrase fits, which takes as long as `sam-jax generate`, and not only one."""
    clip: Annotated[Path | None, arg(metavar="CLIP", help_behavior_hint=UNSET)] = None
    """CLIP of the weights for --text: a Hugging Face folder, OpenAI's .pt, or `drawings`; the default suits them."""
    text_threshold: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint=UNSET)] = None
    """Similarity from which a mask fits a phrase alone: a cosine, by default 0.2, or a probability, by default 0.5."""
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT
    """Weights: an official .pth, a Hugging Face folder, a .safetensors, or `default`, which comes with sam-jax, as
    does `drawings`, which takes text about drawings."""
    output: Annotated[Path, arg(metavar="DIR")] = Path("masks")
    """Folder of the results: masks, an overlay picture, and a JSON file."""
    multimask: Annotated[FlagCreatePairsOff[bool], _MASKS_PER_OBJECT] = False
    """Write three masks for each object (whole, part, subpart), as for a single click by default."""
    single: Annotated[FlagCreatePairsOff[bool], _MASKS_PER_OBJECT] = False
    """Write one mask for each object, as for several clicks, a box or a mask by default."""

    def run(self) -> None:
        """Predict masks, write them, and print a table of them."""
        from sam_jax.checkpoints import read_origin
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder, check_photo_name
        from sam_jax.cli.prediction_files import write_prediction
        from sam_jax.cli.prompt_options import read_prompts
        from sam_jax.data.images import read_image
        from sam_jax.inference import SamPredictor, load
        from sam_jax.messages import LifeSigns

        self._check_text()
        check_output_folder(self.output)
        image = read_image(self.image)
        check_photo_name(self.image)
        prompts = read_prompts(
            self.point, self.negative, self.box, self.mask, image.shape[:2], self.text
        )
        keep_compiled_programs()
        checkpoint = self._choose_checkpoint()
        with LifeSigns() as signs:
            signs.begin(f"loading the weights, {checkpoint}")
            model = load(checkpoint)
            predictor = SamPredictor(model, self._load_clip(model))
            signs.begin(f"finding {self.image.name}'s masks")
            start = time.perf_counter()
            predictor.set_image(image)
            if self.text:
                answer = self._find_phrases(predictor, image, prompts)
                masks, scores = answer.masks, answer.predicted_iou
            else:
                answer = None
                masks, scores = prompts.predict(
                    predictor,
                    multimask_output=self.multimask
                    or (prompts.is_single_click and not self.single),
                )
            seconds = time.perf_counter() - start
        if answer is not None and (missing := answer.explain_missing("--text-threshold")):
            print(missing)
        if len(masks) == 0:
            return
        annotations = write_prediction(
            self.output, self.image, image, prompts, masks, scores, answer
        )
        _print_table(annotations)
        if checkpoint == DEFAULT_CHECKPOINT:
            if scores.max(axis=1).min() < DOUBTFUL:
                print(
                    f"a predicted IoU below {DOUBTFUL} is a doubtful mask: an official checkpoint does better, "
                    "sam-jax download vit_b"
                )
        elif origin := str(read_origin(checkpoint)):
            print(f"in {checkpoint}, {origin}")
        print(
            f"wrote them, {self.image.stem}_overlay.png and {self.image.stem}.json to {self.output}; "
            f"predicting took {seconds:.1f} s"
        )

    def _check_text(self) -> None:
        from sam_jax.types import InputError

        given = {
            "--clip": self.clip is not None,
            "--text-threshold": self.text_threshold is not None,
            "--instances": self.instances,
        }
        for name, is_given in given.items():
            if is_given and not self.text:
                raise InputError(f"{name} belongs to --text, which is not given")
        if self.text and self.multimask:
            raise InputError(
                "--text gives one mask for each object that is found: leave out --multimask"
            )

    def _choose_checkpoint(self) -> Path:
        """The weights: those of drawings where none are named and phrases have words of drawings alone."""
        from sam_jax.checkpoints.contents import DRAWINGS
        from sam_jax.data.phrases import find_unknown_words
        from sam_jax.types import InputWarning

        if (
            not self.text
            or self.clip is not None
            or self.checkpoint != DEFAULT_CHECKPOINT
            or any(map(find_unknown_words, self.text))
        ):
            return self.checkpoint
        warnings.warn(
            f"phrases are answered by the weights `{DRAWINGS}`, which come with sam-jax and know drawings and no "
            "photos: --checkpoint names weights that were trained with text",
            InputWarning,
            stacklevel=2,
        )
        return Path(DRAWINGS)

    def _load_clip(self, model: "Model") -> "ClipModel | None":
        from sam_jax.inference.loading import load_clip_of

        return load_clip_of(model, self.clip) if self.text else None

    def _find_phrases(
        self,
        predictor: "SamPredictor",
        image: "UInt8[np.ndarray, 'h w 3']",
        prompts: "PhotoPrompts",
    ) -> "PhraseAnswer":
        from sam_jax.inference import SamAutomaticMaskGenerator
        from sam_jax.inference.text_prompts import segment_phrases

        return segment_phrases(
            predictor,
            image,
            self.text,
            threshold=self.text_threshold,
            generator=SamAutomaticMaskGenerator(predictor.model) if self.instances else None,
            **prompts.arguments(predictor),
        )


def _print_table(annotations: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    phrases = ("phrase", "similarity") if "phrase" in annotations[0] else ()
    table = Table("mask", *phrases, "predicted IoU", "area", "box x, y, w, h", box=None)
    for annotation in annotations:
        table.add_row(
            annotation["file"],
            *([annotation["phrase"], f"{annotation['similarity']:.2f}"] if phrases else []),
            f"{annotation['predicted_iou']:.3f}{' (best)' if annotation['best'] else ''}",
            f"{annotation['area']:,} pixels",
            ", ".join(map(str, annotation["bbox"])),
        )
    Console(markup=False, highlight=False).print(table)
