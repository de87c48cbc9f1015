"""Text to mask (§7.5): phrases, with and without a point.

    python -m experiments.zero_shot.text --output runs/text
    python -m experiments.zero_shot.text data/refcoco.json --checkpoint runs/sam_text/weights.safetensors \
        --clip weights/ViT-L-14-336px.pt --output runs/refcoco

Without a file it asks about things of drawings, whose combinations of words training has seen or never seen, and also
chooses among automatic masks by the CLIP alone. The file is COCO's, with RefCOCO's list `refs`, each of an `ann_id` and
`sentences`. The page has the best, the median and the worst answers, of text, of text and a point, and of the point.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional, arg

from sam_jax.checkpoints.contents import DRAWINGS
from sam_jax.data.drawn import DrawnSource
from sam_jax.evaluation.phrases import SEED, measure_ranking
from sam_jax.evaluation.referring import (
    PROMPTS,
    Answered,
    Referred,
    answer_all,
    list_drawn,
    list_referred,
    summarise,
)
from sam_jax.evaluation.report import Case, Findings, pick_cases
from sam_jax.evaluation.tables import Cell, Table, print_table
from sam_jax.inference import SamAutomaticMaskGenerator, SamPredictor, draw_overlay, load
from sam_jax.inference.loading import load_clip_of
from sam_jax.inference.settings import describe_model
from sam_jax.storage import make_folder

COLUMNS = ("prompt", "phrases", "mean IoU", "overall IoU", "IoU of 0.5", "right object")


@dataclass(frozen=True, kw_only=True)
class Text:
    """Ask for objects by phrases, with and without a point."""

    refs: Annotated[Positional[Path | None], arg(metavar="[FILE]")] = None
    """COCO's JSON file with referring expressions; drawings without one."""
    checkpoint: Path = Path(DRAWINGS)
    """Weights that were trained with text."""
    clip: Path | None = None
    """CLIP of the weights."""
    output: Path = Path("runs/text")
    """Folder of the results."""
    drawings: int = 60
    """Number of drawings of each kind."""
    grid: int = 16
    """Points along a side of the grid of automatic masks; 0 leaves ranking out."""
    shown: int = 4
    """Number of pictures of each kind."""

    def run(self) -> None:
        """Measure, print tables, and write a page."""
        model = load(self.checkpoint)
        clip = load_clip_of(model, self.clip)
        predictor = SamPredictor(model, clip)
        kinds: dict[str, Iterable[Referred]] = {}
        drawn: dict[str, DrawnSource] = {}
        if self.refs is None:
            drawn = {
                "combinations that were seen": DrawnSource(SEED),
                "combinations that were never seen": DrawnSource(SEED, held_back=True),
            }
            kinds = {name: list_drawn(source, self.drawings) for name, source in drawn.items()}
        else:
            kinds = {self.refs.name: list_referred(self.refs)}
        tables, cases = [], {}
        for name, referred in kinds.items():
            answered = list(answer_all(predictor, referred))
            rows: list[tuple[Cell, ...]] = [
                (prompt, *summarise([answers[number] for _, answers in answered]))
                for number, prompt in enumerate(PROMPTS)
            ]
            if name in drawn and self.grid:
                generator = SamAutomaticMaskGenerator(model, points_per_side=self.grid)
                found = measure_ranking(generator, clip, drawn[name], self.drawings)
                rows.append(
                    ("automatic masks", found.phrases, found.mean_iou, None, None, found.right)
                )
            tables.append(Table(name, COLUMNS, tuple(rows)))
            print_table(tables[-1])
            cases |= _pick(name, answered, self.shown)
        make_folder(self.output)
        settings = {
            "model": describe_model(model),
            "clip": describe_model(clip),
            "drawings": self.drawings,
            "grid": self.grid,
        }
        Findings("Text to mask", tables, {}, {}, cases, settings, []).write(self.output)
        print(f"wrote {self.output / 'report.html'}")


def _pick(
    name: str, answered: list[tuple[Referred, list[Answered]]], most: int
) -> dict[str, list[Case]]:
    ranks = pick_cases([answers[0].iou for _, answers in answered], most)
    return {
        f"{name}, {kind}": [_show(*answered[index]) for index in chosen]
        for kind, chosen in ranks._asdict().items()
    }


def _show(one: Referred, answers: list[Answered]) -> Case:
    scores = ", ".join(f"{answer.prompt} {answer.iou:.2f}" for answer in answers)
    masks = [answer.mask for answer in answers] + [np.asarray(one.masks[one.answer])]
    pictures = tuple(draw_overlay(one.image, mask[None]) for mask in masks)
    return Case(f"“{one.phrase}” in {one.name}: IoU of {scores}; at the right, the truth", pictures)


if __name__ == "__main__":
    tyro.cli(Text).run()
