"""`sam-jax evaluate`: the paper's zero-shot experiments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg

from sam_jax.cli.evaluation_options import MODEL, Common


@dataclass(frozen=True, kw_only=True)
class Points(Common):
    """Click objects again and again (§7.1): mIoU by number of clicks, and clicks to an IoU of 85 and 90 %.

    Example: sam-jax evaluate points BSDS500=BSDS500/images/val --output runs/points --methods sam felzenszwalb
    """

    splits: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=PLACE")]
    """Data sets in any form that can be trained on; NAME=PLACE@5 is every fifth image, @36:68 a range."""
    methods: tuple[str, ...] = (MODEL,)
    """What to measure: sam, otsu, felzenszwalb, grabcut, disc."""
    clicks: int = 9
    """Up to so many are counted in the mIoU."""
    first: Literal["centre", "random"] = "centre"
    """The first click: at the mask's centre, or at any of its pixels."""
    masks_per_image: Annotated[int | None, arg(metavar="N")] = None
    """At most so many objects of an image, drawn at random."""
    min_area: int = 1
    """Smallest object in pixels."""
    noc: bool = True
    """Also count the clicks that an IoU of 85 and 90 % takes, up to 20."""
    seed: int = 0
    """Of what is drawn at random."""

    def run(self) -> None:
        """Measure, and tell."""
        from sam_jax.cli.evaluate_points import evaluate_points
        from sam_jax.evaluation.interactive import InteractiveConfig

        more: dict[str, Any] = {} if self.noc else {"noc_thresholds": ()}
        evaluate_points(
            self,
            InteractiveConfig(
                clicks=self.clicks,
                first=self.first,
                masks_per_image=self.masks_per_image,
                min_area=self.min_area,
                seed=self.seed,
                **more,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Edges(Common):
    """Find edges (§7.2), measured as BSDS500 does: ODS, OIS, AP, R50.

    Example: sam-jax evaluate edges BSDS500/images/val --output runs/edges --methods sam canny sobel
    """

    photos: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """BSDS500, or a part of it: images/ with groundTruth/ (or ground_truth/) beside it."""
    methods: tuple[str, ...] = (MODEL,)
    """What to measure: sam, canny, sobel."""
    points_per_side: int = 16
    """Points of the grid that the model is asked about, along each side."""

    def run(self) -> None:
        """Measure, and tell."""
        from sam_jax.cli.evaluate_edges import evaluate_edges

        evaluate_edges(self)


@dataclass(frozen=True, kw_only=True)
class Proposals(Common):
    """Propose objects (§7.3): average recall of 10, 100 and 1000 masks, by size and by LVIS' frequency.

    Example: sam-jax evaluate proposals LVIS=lvis_v1_val.json --output runs/proposals
    """

    splits: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=PLACE")]
    """COCO or LVIS .json files, or data sets in any form that can be trained on; NAME=PLACE@5 is every fifth image."""
    points_per_side: int = 64
    """Points of the grid that the model is asked about, along each side."""
    methods: tuple[str, ...] = (MODEL,)
    """What to measure: sam (three masks a point), sam-single (one mask a point), felzenszwalb."""

    def run(self) -> None:
        """Measure, and tell."""
        from sam_jax.cli.evaluate_masks import evaluate_proposals

        evaluate_proposals(self)


@dataclass(frozen=True, kw_only=True)
class Instances(Common):
    """Turn a detector's boxes into masks (§7.4): COCO's or LVIS' AP.

    Example: sam-jax evaluate instances instances_val2017.json --boxes vitdet.json --output runs/instances
    """

    truth: Annotated[Positional[Path], arg(metavar="JSON")]
    """The truth in COCO's or LVIS' form, with its photos where training would look for them."""
    boxes: Annotated[Path | None, arg(metavar="JSON")] = None
    """A detector's results in COCO's form; the default are the boxes of the truth."""
    refine: FlagCreatePairsOff[bool] = True
    """Feed the first mask back together with the box."""

    def run(self) -> None:
        """Measure, and tell."""
        from sam_jax.cli.evaluate_masks import evaluate_instances

        evaluate_instances(self)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Repeat an experiment of the paper: points, edges, proposals, instances.

    Writes results.json, results.csv and report.html. Stopped or killed, the same command goes on with what is missing.
    """

    experiment: OmitSubcommandPrefixes[Points | Edges | Proposals | Instances]
    """Which one."""

    def run(self) -> None:
        """Run it."""
        self.experiment.run()
