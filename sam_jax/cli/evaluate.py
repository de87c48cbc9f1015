"""`sam-jax evaluate`: the paper's zero-shot experiments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg

from sam_jax.cli.options import DEFAULT_CHECKPOINT, UNSET, Checkpoint, Names

if TYPE_CHECKING:
    from sam_jax.evaluation import Findings
    from sam_jax.messages import LifeSigns
    from sam_jax.models import Model

MODEL = "sam"


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every experiment."""

    output: Annotated[Path, arg(metavar="DIR")]
    """Folder for tables, a page with pictures, and a record of each image, from which the same command goes on."""
    checkpoint: Checkpoint = DEFAULT_CHECKPOINT
    """Weights: an official .pth, a Hugging Face folder, a .safetensors, or `default`, which comes with sam-jax."""
    image_size: Annotated[int | None, arg(metavar="SIDE", help_behavior_hint=UNSET)] = None
    """Side of the model's input in pixels, if not the checkpoint's own."""
    images: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """The most images of a data set to measure, spread evenly over it."""
    pictures: Annotated[int, arg(metavar="N")] = 3
    """The most best, median and worst cases to show on the page."""
    profile: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint=UNSET)] = None
    """Local folder for traces of the second and third image of each method, for TensorBoard or Perfetto."""
    multi_host: FlagCreatePairsOff[bool] = False
    """Share the images with other processes (Cloud TPU, Slurm, ..., or JAX_COORDINATOR_ADDRESS)."""

    def run(self) -> None:
        """Measure, and show the results, with signs of life from the start."""
        from sam_jax.messages import LifeSigns

        with LifeSigns() as signs:
            self.measure(signs)

    def measure(self, signs: "LifeSigns") -> None:
        """Measure, and show the results.

        Args:
            signs: Signs of life of the command.
        """
        raise NotImplementedError

    def start(self, signs: "LifeSigns") -> None:
        """Check the folder and join the other processes, before anything else touches a device."""
        from sam_jax.cli.compilation import keep_compiled_programs
        from sam_jax.cli.output_folder import check_output_folder
        from sam_jax.distributed import join_processes

        check_output_folder(self.output)
        signs.begin("opening the data and loading the weights")
        keep_compiled_programs()
        if self.multi_host:
            join_processes()

    def load_model(self) -> "Model":
        """The model that the options name."""
        from sam_jax.inference.loading import load

        return load(self.checkpoint, image_size=self.image_size)

    def load_model_for(self, methods: Sequence[str]) -> "Model | None":
        """The model that the options name if one of the methods needs it."""
        return self.load_model() if any(name.startswith(MODEL) for name in methods) else None

    def show(self, findings: "Findings") -> None:
        """Print the tables, and say where everything is; of several processes only the first one does.

        Raises:
            RunError: Some images could not be measured.
        """
        import jax

        from sam_jax.data.left_out import summarise_reasons
        from sam_jax.evaluation.report import PAGE, RESULTS, SPREADSHEET
        from sam_jax.evaluation.tables import print_table
        from sam_jax.messages import count
        from sam_jax.types import RunError

        if jax.process_index() == 0:
            for table in findings.tables:
                print_table(table)
            print(f"wrote {self.output / RESULTS}, {SPREADSHEET} and {PAGE}")
            if findings.notes:
                print(f"notes on photos: {summarise_reasons(findings.notes)}")
        if findings.problems:
            raise RunError(
                f"no results of {count(len(findings.problems), 'image')}: "
                + "; ".join(findings.problems)
            )


def show_progress(
    signs: "LifeSigns",
    folder: Path | None,
    outcomes: Iterable[Any],
    total: int,
    done_before: int,
    label: str,
) -> Iterator[Any]:
    """The progress of commands that go through photos, as `sam_jax.evaluation` wants it, and a trace of a few."""
    from sam_jax.cli.progress_bar import photo_progress
    from sam_jax.profiling import Profile

    with photo_progress(signs) as progress, Profile(folder, "photo", progress.say) as profile:
        followed = profile.follow(outcomes, total - done_before)
        yield from progress.track(followed, total, done_before, label)


@dataclass(frozen=True, kw_only=True)
class Points(Common):
    """Click objects again and again (§7.1): mIoU by number of clicks, and clicks to reach an IoU of 85 and 90 %.

    Example: sam-jax evaluate points BSDS500=BSDS500/images/val --output runs/points --methods sam,felzenszwalb
    """

    splits: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=PLACE")]
    """Data sets in any form that can be trained on; NAME=PLACE@5 is every fifth image, @36:68 a range."""
    methods: Names = (MODEL,)
    """What to measure: sam, otsu, felzenszwalb, grabcut, disc."""
    clicks: int = 9
    """The most clicks that the mIoU is given for."""
    first: Literal["centre", "random"] = "centre"
    """The first click: at the mask's centre, or at a random pixel of it."""
    masks_per_image: Annotated[int | None, arg(metavar="N", help_behavior_hint=UNSET)] = None
    """The most objects of an image, drawn at random."""
    min_area: int = 1
    """Area in pixels of the smallest objects."""
    noc: bool = True
    """Also count the clicks to reach an IoU of 85 and 90 %, up to 20."""
    seed: int = 0
    """Seed of all random numbers."""

    def measure(self, signs: "LifeSigns") -> None:
        """Measure, and show the results."""
        from sam_jax.evaluation import PointsConfig, evaluate_points, open_splits, point_methods
        from sam_jax.evaluation.experiment import check_method_names
        from sam_jax.evaluation.points.segmenters import POINT_METHODS

        check_method_names(self.methods, POINT_METHODS)
        config = PointsConfig(
            clicks=self.clicks,
            first=self.first,
            noc_thresholds=PointsConfig.noc_thresholds if self.noc else (),
            masks_per_image=self.masks_per_image,
            min_area=self.min_area,
            seed=self.seed,
        )
        self.start(signs)
        splits = open_splits(self.splits, self.images)
        methods = point_methods(self.methods, self.load_model_for(self.methods))
        more: dict[str, Any] = {
            "pictures": self.pictures,
            "track": partial(show_progress, signs, self.profile),
        }
        self.show(evaluate_points(splits, methods, config, self.output, **more))


@dataclass(frozen=True, kw_only=True)
class Edges(Common):
    """Find edges (§7.2), measured as BSDS500 does: ODS, OIS, AP, R50.

    Example: sam-jax evaluate edges BSDS500/images/val --output runs/edges --methods sam,canny,sobel
    """

    photos: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """BSDS500, or a part of it: images/ with groundTruth/ (or ground_truth/) beside it."""
    methods: Names = (MODEL,)
    """What to measure: sam, canny, sobel."""
    points_per_side: int = 16
    """Points along each side of the grid that the model is prompted with."""

    def measure(self, signs: "LifeSigns") -> None:
        """Measure, and show the results."""
        from sam_jax.evaluation import EdgeConfig, edge_methods, evaluate_edges, open_edge_data
        from sam_jax.evaluation.edges.experiment import EDGE_METHODS
        from sam_jax.evaluation.experiment import check_method_names

        check_method_names(self.methods, EDGE_METHODS)
        config = EdgeConfig(points_per_side=self.points_per_side)
        self.start(signs)
        data = open_edge_data(self.photos, self.images)
        methods = edge_methods(self.methods, self.load_model_for(self.methods), config)
        more: dict[str, Any] = {
            "pictures": self.pictures,
            "track": partial(show_progress, signs, self.profile),
        }
        self.show(evaluate_edges(data, methods, self.output, **more))


@dataclass(frozen=True, kw_only=True)
class Proposals(Common):
    """Propose objects (§7.3): average recall of 10, 100 and 1000 masks, by size and by LVIS' frequency.

    Example: sam-jax evaluate proposals LVIS=lvis_v1_val.json --output runs/proposals
    """

    splits: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=PLACE")]
    """COCO or LVIS .json files, or data sets in any form that can be trained on; NAME=PLACE@5 is every fifth image."""
    points_per_side: int = 64
    """Points along each side of the grid that the model is prompted with."""
    methods: Names = (MODEL,)
    """What to measure: sam (three masks a point), sam-single (one mask a point), felzenszwalb."""

    def measure(self, signs: "LifeSigns") -> None:
        """Measure, and show the results."""
        from sam_jax.evaluation import (
            ProposalConfig,
            evaluate_proposals,
            open_splits,
            proposal_methods,
        )
        from sam_jax.evaluation.experiment import check_method_names
        from sam_jax.evaluation.proposals.proposers import PROPOSAL_METHODS

        check_method_names(self.methods, PROPOSAL_METHODS)
        config = ProposalConfig(points_per_side=self.points_per_side)
        self.start(signs)
        splits = open_splits(self.splits, self.images)
        methods = proposal_methods(self.methods, self.load_model_for(self.methods), config)
        more: dict[str, Any] = {
            "pictures": self.pictures,
            "track": partial(show_progress, signs, self.profile),
        }
        self.show(evaluate_proposals(splits, methods, self.output, **more))


@dataclass(frozen=True, kw_only=True)
class Instances(Common):
    """Turn a detector's boxes into masks (§7.4): COCO's or LVIS' AP.

    Example: sam-jax evaluate instances instances_val2017.json --boxes vitdet.json --output runs/instances
    """

    truth: Annotated[Positional[Path], arg(metavar="JSON")]
    """The truth in COCO's or LVIS' format, with its photos where training would look for them."""
    boxes: Annotated[Path | None, arg(metavar="JSON", help_behavior_hint=UNSET)] = None
    """A detector's results in COCO's format; the default are the boxes of the truth."""
    refine: FlagCreatePairsOff[bool] = True
    """Feed the first mask back together with the box."""

    def measure(self, signs: "LifeSigns") -> None:
        """Measure, and show the results."""
        from sam_jax.evaluation import (
            InstanceConfig,
            evaluate_instances,
            instance_method,
            read_detections,
            read_truth,
            truth_detections,
        )

        self.start(signs)
        truth = read_truth(self.truth)
        detections = (
            truth_detections(truth) if self.boxes is None else read_detections(self.boxes, truth)
        )
        findings = evaluate_instances(
            truth,
            detections,
            instance_method(self.load_model()),
            InstanceConfig(refine=self.refine),
            self.output,
            most=self.images,
            pictures=self.pictures,
            track=partial(show_progress, signs, self.profile),
        )
        self.show(findings)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Repeat an experiment of the paper: points, edges, proposals, instances.

    Writes results.json, results.csv and report.html. Stopped or killed, the same command goes on with what is missing.
    """

    experiment: OmitSubcommandPrefixes[Points | Edges | Proposals | Instances]
    """The experiment."""

    def run(self) -> None:
        """Run the experiment."""
        self.experiment.run()
