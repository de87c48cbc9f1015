"""Speed beside official PyTorch, eager and compiled, on a GPU: same random weights, float32 and bfloat16.

    python -m experiments.benchmarks.accelerator [--variants vit-b vit-h] [--no-compiled] [--json F]

Both sides may round the inputs of float32 products to TF32. In bfloat16 the official encoder has bfloat16 weights, and
its decoder and its training run under autocast, as people run it. `torch.compile` compiles encoder and decoder, which
takes minutes for ViT-H. Without a GPU it runs on the CPU, for which `--variants tiny` is meant. Figures:
`docs/performance.md`.
"""

import contextlib
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import skimage.data
import torch
import tyro
from PIL import Image

import sam_jax
from experiments.benchmarks.queued_work import (
    DEVICE,
    Run,
    awaited,
    encoder_flop,
    measure_peak,
    synchronised,
)
from experiments.benchmarks.timing import print_summaries, summarise, time_in_turns
from experiments.official import segment_anything
from experiments.reference import official_model
from experiments.reference_training import TorchBatch, TorchPrompts, session_loss
from sam_jax.data.example import Batch
from sam_jax.data.framing import Framing
from sam_jax.distributed import place_batch
from sam_jax.inference import embed_images, predict_masks
from sam_jax.inference.crops import make_point_grid
from sam_jax.inference.prompts import make_prompts
from sam_jax.models import TINY, VIT_B, VIT_H, VIT_L, SamConfig, default_compute
from sam_jax.training.config import DataConfig, Execution, Synthetic, TrainConfig
from sam_jax.training.interaction import Interaction
from sam_jax.training.optimiser import CosineDecay, OptimiserConfig
from sam_jax.training.preparation import first_state, prepare
from sam_jax.types import PointLabel

VARIANTS = {"vit-b": VIT_B, "vit-l": VIT_L, "vit-h": VIT_H, "tiny": replace(TINY, fine=None)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS, STRIPS, EAGER, COMPILED = "sam_jax", "sam_jax, strips", "official", "official, compiled"
Variant = Literal["vit-b", "vit-l", "vit-h", "tiny"]
Task = Literal["encode", "decode", "everything", "train"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compare with PyTorch on this machine's GPU."""

    variants: tuple[Variant, ...] = ("vit-b", "vit-h")
    """Whose sizes to take."""
    tasks: tuple[Task, ...] = ("encode", "decode", "everything", "train")
    """What to time."""
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Precisions of activations and products."""
    batches: tuple[int, ...] = (1, 8)
    """Numbers of images that are encoded together."""
    image_size: int | None = None
    """Side of the padded input in pixels, if it is not to be the variant's."""
    prompts: int = 64
    """Number of clicks that are decoded together."""
    points_per_side: int = 32
    """Side of the grid of points of everything mode."""
    images: int = 2
    """Number of images of a training step."""
    masks: int = 16
    """Number of masks of an image in a training step."""
    iterations: int = 4
    """Number of prompts for a mask in a training step."""
    repeats: int = 10
    """Number of runs that are timed together; an eighth of it, at least one, for everything and training."""
    rounds: int = 5
    """How often each task is timed."""
    compiled: bool = True
    """Whether `torch.compile` takes part."""
    strips: bool = True
    """Whether attention in strips takes part where a fused kernel is the default."""
    json: Path | None = None
    """File for all figures."""


def compiled_by_torch(model: Any) -> Any:
    """The same model with its encoder and decoder behind `torch.compile`."""
    model.image_encoder.compile(dynamic=False)
    model.mask_decoder.compile(dynamic=False)
    return model


class Contest:
    """Implementations of one variant in one precision, with the same weights.

    Args:
        variant: Name of the variant.
        dtype: Precision of activations and products.
        options: What to compare.
    """

    def __init__(self, variant: Variant, dtype: str, options: Options) -> None:
        self.config, self.dtype, self.options = VARIANTS[variant], dtype, options
        if options.image_size is not None:
            self.config = self.config.with_image_size((options.image_size, options.image_size))
        with torch.device(DEVICE):
            self.official: Any = official_model(self.config).to(DEVICE)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "official.pth"
            torch.save(self.official.state_dict(), path)
            compute = replace(default_compute(), dtype=dtype)
            self.model = sam_jax.load(path, compute=compute)
        self.models = {OURS: self.model}
        if options.strips and self.model.compute.attention != "strips":
            strips = replace(self.model.compute, attention="strips")
            self.models[STRIPS] = replace(self.model, compute=strips)

    def autocast(self) -> contextlib.AbstractContextManager:
        """In float32, a context that does nothing."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(DEVICE, torch.bfloat16)

    @functools.cached_property
    def compiled(self) -> Any:
        """The official model once more, compiled."""
        with torch.device(DEVICE):
            model: Any = official_model(self.config).to(DEVICE)
        model.load_state_dict(self.official.state_dict())
        return compiled_by_torch(model)

    def both(self, make: Callable[[Any], Run]) -> dict[str, Run]:
        """The official implementation as it is, and compiled."""
        runs = {EAGER: make(self.official)}
        if self.options.compiled:
            runs[COMPILED] = make(self.compiled)
        return runs

    def encode(self, batch: int) -> dict[str, Run]:
        """From normalised (PyTorch) or 8-bit (ours) images to image embeddings."""
        frame = self.config.image_encoder.image_size
        pixels = np.random.default_rng(0).integers(0, 256, (batch, *frame, 3), np.uint8)
        ours = jnp.asarray(pixels), jnp.full((batch, 2), np.array(frame))
        theirs = self.official.preprocess(
            torch.tensor(pixels, device=DEVICE).permute(0, 3, 1, 2).float()
        )
        repeats = max(1, self.options.repeats // batch)
        runs = {
            name: awaited(lambda model=model: embed_images(model, *ours), repeats)
            for name, model in self.models.items()
        }

        def make(official: Any) -> Run:
            encoder = official.image_encoder.to(DTYPES[self.dtype])
            x = theirs.to(DTYPES[self.dtype])
            return synchronised(lambda: encoder(x), repeats)

        found = np.asarray(embed_images(self.model, *ours), np.float32)[0]
        with torch.no_grad():
            expected = self.official.float().image_encoder(theirs[:1])[0].permute(1, 2, 0)
        difference = np.abs(found - expected.cpu().numpy()).max() / float(expected.abs().max())
        print(f"  largest difference of embeddings from float32 {difference:.1e} of the largest")
        return {**runs, **self.both(make)}

    def decode(self) -> dict[str, Run]:
        """From an image embedding and clicks to low-resolution logits and predicted IoU."""
        frame, count = self.config.image_encoder.image_size, self.options.prompts
        draw = np.random.default_rng(0)
        clicks = draw.uniform(0, min(frame), (count, 1, 2)).astype(np.float32)
        labels = np.ones((count, 1), np.int32)
        shape = (1, *self.config.image_encoder.grid, self.config.prompt_encoder.width)
        embedding = draw.standard_normal(shape, np.float32)
        prompts = jax.device_put(
            make_prompts(Framing(frame, frame, frame), point_coords=clicks, point_labels=labels)
        )
        ours = jnp.asarray(embedding, self.dtype)
        theirs = torch.tensor(embedding, device=DEVICE).permute(0, 3, 1, 2)
        points = torch.tensor(clicks, device=DEVICE), torch.tensor(labels, device=DEVICE)
        repeats = self.options.repeats

        def make(official: Any) -> Run:
            official = official.float()

            def run() -> object:
                with self.autocast():
                    sparse, dense = official.prompt_encoder(points=points, boxes=None, masks=None)
                    return official.mask_decoder(
                        image_embeddings=theirs,
                        image_pe=official.prompt_encoder.get_dense_pe(),
                        sparse_prompt_embeddings=sparse,
                        dense_prompt_embeddings=dense,
                        multimask_output=True,
                    )

            return synchronised(run, repeats)

        ours_run = awaited(
            lambda: predict_masks(self.model, ours, prompts, multimask_output=True), repeats
        )
        return {OURS: ours_run, **self.both(make)}

    def everything(self) -> dict[str, Run]:
        """All masks of a photo of 1200x1800; a tenth passes the first threshold."""
        photo = np.asarray(Image.fromarray(skimage.data.coffee()).resize((1800, 1200)))
        predictor = sam_jax.SamPredictor(self.model)
        predictor.set_image(photo)
        points = make_point_grid(8)[:, None] * np.array([1800, 1200])
        _, iou, _ = predictor.predict_batch(points, np.ones((64, 1), np.int32))
        settings: dict[str, Any] = {
            "points_per_side": self.options.points_per_side,
            "pred_iou_thresh": float(np.quantile(np.asarray(iou, np.float32), 0.9)),
            "stability_score_thresh": 0.0,
        }
        repeats = max(1, self.options.repeats // 8)
        ours = sam_jax.SamAutomaticMaskGenerator(self.model, **settings)

        def make(official: Any) -> Run:
            # Its generator makes NumPy arrays of scores, which have no bfloat16.
            official.mask_decoder.register_forward_hook(
                lambda module, inputs, outputs: tuple(output.float() for output in outputs)
            )
            generator = segment_anything.SamAutomaticMaskGenerator(official.float(), **settings)

            def run() -> object:
                with self.autocast():
                    return generator.generate(photo)

            return synchronised(run, repeats)

        def run_ours() -> object:
            masks = ours.generate(photo)
            return np.array(len(masks))

        return {OURS: awaited(run_ours, repeats), **self.both(make)}

    def train(self) -> dict[str, Run]:
        """A step of several prompts for each mask, with AdamW."""
        batch = _draw_batch(self.config, self.options)
        repeats = max(1, self.options.repeats // 8)
        return {
            OURS: awaited(self._our_step(batch), repeats),
            **self.both(lambda official: self._torch_step(official.float(), batch, repeats)),
        }

    def _our_step(self, batch: Batch) -> Run:
        options = self.options
        plan = TrainConfig(
            model=self.config,
            data=DataConfig(
                sources=(Synthetic(),), batch_size=options.images, masks_per_image=options.masks
            ),
            steps=1000,
            optimiser=OptimiserConfig(decay=CosineDecay(), layer_decay=1.0),
            interaction=Interaction(
                iterations=options.iterations, refine_iterations=0, box_share=0.0
            ),
            execution=Execution(
                compute=replace(default_compute(training=True), dtype=self.dtype, scan_blocks=True)
            ),
        )
        preparation = prepare(plan)
        state = first_state(plan, preparation)
        placed = place_batch(batch, preparation.mesh)

        def run() -> object:
            nonlocal state
            state, *metrics = preparation.train_step(state, placed)
            return metrics

        return run

    def _torch_step(self, model: Any, batch: Batch, repeats: int) -> Run:
        optimiser = torch.optim.AdamW(model.parameters(), lr=8e-4, weight_decay=0.1)
        options = self.options
        pixels = torch.tensor(batch.images, device=DEVICE).permute(0, 3, 1, 2).float()
        masks = torch.tensor(batch.masks, device=DEVICE)
        inside = torch.ones((len(masks), *masks.shape[2:]), dtype=torch.bool, device=DEVICE)
        inputs = TorchBatch(model.preprocess(pixels), masks, inside)
        shape = (options.images, options.masks, options.iterations)
        points = torch.rand(*shape, 2, device=DEVICE) * batch.images.shape[1]
        labels = torch.full(shape, int(PointLabel.FOREGROUND), device=DEVICE)
        prompts = TorchPrompts(points, labels, None)

        def run() -> None:
            optimiser.zero_grad()
            with torch.enable_grad(), self.autocast():
                loss = session_loss(model, inputs, prompts, options.iterations)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()

        return synchronised(run, repeats)


def _draw_batch(config: SamConfig, options: Options) -> Batch:
    """Noise with discs as truth: what is in the pictures doesn't change the time."""
    draw = np.random.default_rng(0)
    height, width = config.image_encoder.image_size
    rows, columns = np.indices((height // 4, width // 4))
    shape = (options.images, options.masks, 1, 1)
    away = (rows - draw.uniform(0, height // 4, shape)) ** 2
    away = away + (columns - draw.uniform(0, width // 4, shape)) ** 2
    return Batch(
        images=draw.integers(0, 256, (options.images, height, width, 3), np.uint8),
        fitted=np.full((options.images, 2), (height, width), np.int32),
        masks=away < (height // 16) ** 2,
        valid=np.ones((options.images, options.masks), bool),
    )


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options)
    # JAX would otherwise take most of the memory for itself.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    peak = {name: measure_peak(DTYPES[name]) for name in options.dtypes}
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    print(f"{device}, JAX {jax.__version__}, PyTorch {torch.__version__}", flush=True)
    print(", ".join(f"{name} product {of / 1e12:.0f} TFLOP/s" for name, of in peak.items()))
    figures = {}
    for variant in options.variants:
        for dtype in options.dtypes:
            contest = Contest(variant, dtype, options)
            tasks: dict[str, tuple[Callable[[], dict[str, Run]], int, float]] = {}
            if "encode" in options.tasks:
                for batch in options.batches:
                    tasks[f"encode {batch}"] = (
                        lambda contest=contest, batch=batch: contest.encode(batch),
                        max(1, options.repeats // batch),
                        batch * encoder_flop(contest.config),
                    )
            if "decode" in options.tasks:
                tasks[f"decode {options.prompts}"] = contest.decode, options.repeats, 0
            few = max(1, options.repeats // 8)
            if "everything" in options.tasks:
                tasks["everything"] = contest.everything, few, 0
            if "train" in options.tasks:
                tasks["train"] = contest.train, few, 0
            for task, (make, repeats, flop) in tasks.items():
                start = time.perf_counter()
                runs = make()
                _warm_up(runs)
                ready = time.perf_counter() - start
                seconds = {
                    name: [value / repeats for value in values]
                    for name, values in time_in_turns(runs, options.rounds).items()
                }
                summary = summarise(seconds, OURS)
                name = f"{variant} {dtype} {task}"
                print_summaries({name: summary}, OURS)
                for rival, of in summary.items() if flop else ():
                    of["share of peak"] = flop / of["seconds"] / peak[dtype]
                    print(f"  {rival}: {flop / of['seconds'] / 1e12:.0f} TFLOP/s", end="")
                print(f"  (ready after {ready:.0f} s)", flush=True)
                figures[name] = summary
                if options.json is not None:
                    options.json.write_text(json.dumps({"peak": peak, "figures": figures}))


def _warm_up(runs: dict[str, Run]) -> None:
    """Compile: XLA in threads, beside PyTorch, which keeps to one."""
    with ThreadPoolExecutor() as pool:
        ours = [pool.submit(run) for name, run in runs.items() if name.startswith(OURS)]
        for name, run in runs.items():
            if not name.startswith(OURS):
                run()
        for future in ours:
            future.result()


if __name__ == "__main__":
    main()
