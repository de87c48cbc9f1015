"""A step of training against the same step in PyTorch over the official modules: weights, prompts and truth fixed."""

import jax
import numpy as np
import pytest
import torch

from experiments.reference_training import TorchBatch, TorchPrompts, session_loss
from sam_jax.checkpoints import load_checkpoint
from sam_jax.data.example import Batch
from sam_jax.data.framing import normalise
from sam_jax.models import Compute, Model
from sam_jax.training.interaction import Interaction, find_inside
from sam_jax.training.step import compute_gradients, compute_loss
from sam_jax.types import PointLabel


def make_batch(config, b=2, n=3):
    draw = np.random.default_rng(0)
    h, w = config.image_encoder.image_size
    rows, columns = np.mgrid[: h // 4, : w // 4]
    centres = draw.uniform(0.2, 0.6, (b, n, 2)) * [h // 4, w // 4]
    radii = draw.uniform(3, 8, (b, n))
    distance = np.hypot(rows - centres[..., :1, None], columns - centres[..., 1:, None])
    return Batch(
        images=draw.integers(0, 256, (b, h, w, 3), dtype=np.uint8),
        fitted=np.array([[h, w - 17], [h - 30, w]], np.int32),
        masks=distance < radii[..., None, None],
        valid=np.ones((b, n), bool),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_a_step_of_two_iterations(oblong, tmp_path):
    """Of masks whose first prompt is a point, and of masks whose first prompt is a box."""
    interaction = Interaction(iterations=2, refine_iterations=0, box_share=0.5)
    model = Model(oblong.config, oblong.model.variables, Compute(prompts_at_once=8))
    batch, keys = make_batch(oblong.config), jax.random.split(jax.random.key(3), 2)

    @jax.jit
    def step(model, batch, keys):
        _, session = compute_loss(model, batch, keys, interaction)
        return compute_gradients(
            model, model.variables["params"], batch, keys, interaction
        ), session

    (gradients, sums), session = step(model, batch, keys)

    points, labels = (torch.tensor(np.asarray(x)) for x in (session.points, session.labels))
    pixels = normalise(batch.images, batch.fitted)
    inside = find_inside(batch.fitted, batch.masks.shape[2:])
    torch_batch = TorchBatch(
        torch.tensor(np.asarray(pixels)).permute(0, 3, 1, 2),
        torch.tensor(batch.masks),
        torch.tensor(np.asarray(inside)),
    )
    official = oblong.torch_model
    official.zero_grad()
    masks = float(sums.masks)
    assert masks == 6
    is_box = labels[:, :, 0] == PointLabel.TOP_LEFT
    assert 0 < is_box.sum() < masks
    parts = []
    for kind in (True, False):
        for image, chosen in enumerate(is_box == kind):
            of_image = [x[image : image + 1] for x in torch_batch]
            of_image[1] = of_image[1][:, chosen]
            p, q = points[image, chosen][None], labels[image, chosen][None]
            prompts = TorchPrompts(
                points=p[:, :, 2:] if kind else p[:, :, [0, 2]],
                labels=q[:, :, 2:] if kind else q[:, :, [0, 2]],
                boxes=p[:, :, :2].flatten(2) if kind else None,
            )
            if count := int(chosen.sum()):
                loss = session_loss(official, TorchBatch(*of_image), prompts, iterations=2)
                parts.append(count / masks * loss)
    loss = torch.stack(parts).sum()
    loss.backward()
    assert np.isfinite(loss.item())
    np.testing.assert_allclose(float(sums.loss) / masks, loss.item(), rtol=1e-4)
    reference = {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for name, leaf in official.named_parameters()
    }
    reference |= dict(official.named_buffers())
    torch.save(
        {name: reference[name] for name in official.state_dict()}, tmp_path / "gradients.pth"
    )
    _, expected = load_checkpoint(tmp_path / "gradients.pth", config=oblong.config)
    ours = dict(jax.tree.leaves_with_path(gradients))
    theirs = dict(jax.tree.leaves_with_path(expected["params"]))
    assert ours.keys() == theirs.keys()
    largest = max(np.abs(np.asarray(leaf)).max() for leaf in theirs.values())
    assert 0.01 < largest < np.inf
    for path, leaf in theirs.items():
        # A bias of keys moves all scores of a query alike: its gradient is zero but for rounding.
        scale = max(np.abs(np.asarray(leaf)).max(), 1e-5 * largest)
        np.testing.assert_allclose(ours[path] / masks, leaf, atol=1e-3 * scale, err_msg=str(path))
