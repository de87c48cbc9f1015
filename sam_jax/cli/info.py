"""`sam-jax info`: describe weights and the installation."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sam_jax.cli.options import UNSET


@dataclass(frozen=True, kw_only=True)
class Info:
    """Show the variant and size of weights, the versions, the devices, and the folder of compiled programs."""

    checkpoint: Annotated[
        Positional[Path | None], arg(metavar="[CHECKPOINT]", help_behavior_hint=UNSET)
    ] = None
    """Weights to describe: an official .pth, a Hugging Face folder, a .safetensors of sam-jax, or `default`."""

    def run(self) -> None:
        """Print the description as a table."""
        from rich.console import Console
        from rich.table import Table

        checkpoint = [] if self.checkpoint is None else _describe_checkpoint(self.checkpoint)
        table = Table(box=None, show_header=False)
        for name, value in checkpoint + _describe_installation():
            table.add_row(name, value)
        Console(markup=False, highlight=False).print(table)


def _describe_checkpoint(path: Path) -> list[tuple[str, str]]:
    import jax

    from sam_jax.checkpoints import load_checkpoint, name_variant, read_origin

    config, variables = load_checkpoint(path)
    counts = {
        part: sum(leaf.size for leaf in jax.tree.leaves(leaves))
        for part, leaves in variables["params"].items()
    }
    height, width = config.image_encoder.image_size
    origin = read_origin(path)
    return [
        ("checkpoint", str(path)),
        *([("weights under", origin.prefix)] if origin.prefix else []),
        *([("not used", ", ".join(origin.left_out))] if origin.left_out else []),
        ("variant", name_variant(config)),
        ("input size", f"{height} x {width} pixels (h x w)"),
        (
            "automatic masks",
            f"predicted IoU above {config.automatic.pred_iou_thresh:g}, "
            f"stability score from {config.automatic.stability_score_thresh:g}",
        ),
        *((part.replace("_", " "), f"{count:,} parameters") for part, count in counts.items()),
        ("in all", f"{sum(counts.values()):,} parameters"),
    ]


def _describe_installation() -> list[tuple[str, str]]:
    import jax

    import sam_jax
    from sam_jax.cli.compilation import compilation_cache_folder

    devices = Counter(f"{device.device_kind} ({device.platform})" for device in jax.devices())
    return [
        ("sam-jax", sam_jax.__version__),
        ("jax", jax.__version__),
        ("devices", ", ".join(f"{count} x {name}" for name, count in devices.items())),
        ("compiled programs", str(compilation_cache_folder())),
    ]
