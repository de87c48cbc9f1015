"""Masks are those of the predictor, at any size; embeddings come from the disk the second time."""

import numpy as np
import pytest

from sam_jax.data.framing import Framing, frame_image
from sam_jax.data_engine.mask_states import read_prompt
from sam_jax.data_engine.segmenter import Segmenter, choose, threshold_logits
from sam_jax.inference import SamPredictor
from sam_jax.ops.resize import plan_mask_resize, resize_masks
from sam_jax.ops.rle import compress_counts, decode_rle, encode_rle

PHOTO = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)


def prompt_of(*clicks, **others):
    return read_prompt({"clicks": [list(click) for click in clicks]} | others, PHOTO.shape[:2])


@pytest.mark.parametrize("size", [(50, 70), (301, 97), (5, 4), (1, 400), (700, 1300)])
@pytest.mark.parametrize("kind", ["noise", "smooth", "full", "empty"])
def test_runs_are_those_of_the_resized_logits(size, kind):
    chance = np.random.default_rng(1)
    _, framing = (
        frame_image(np.zeros((*size, 3), np.uint8), (64, 96))
        if min(size) > 4
        else (
            None,
            Framing(size, (64, 96), (64, 96)),
        )
    )
    low = framing.low_size
    rows, columns = np.mgrid[: low[0], : low[1]]
    logits = {
        "noise": chance.normal(size=low),
        "smooth": np.sin(rows / 3.0) + np.cos(columns / 4.0),
        "full": np.ones(low),
        "empty": -np.ones(low),
    }[kind].astype(np.float32)
    plan = plan_mask_resize(low, framing.frame, framing.fitted, size)
    values = np.asarray(resize_masks(logits, plan))
    drawn = decode_rle({"size": list(size), "counts": threshold_logits(logits, framing, size)})
    # Where the mixture is 0 but for rounding, either is right.
    assert not ((drawn != (values > 0)) & (np.abs(values) > 1e-6)).any()
    assert threshold_logits(logits, framing, size) == encode_rle(drawn)["counts"]


def test_answers_are_those_of_the_predictor_click_by_click(model, segmenter):
    predictor = SamPredictor(model)
    predictor.set_image(PHOTO)
    segmenter.embed("photo", PHOTO)
    clicks = [(20.5, 30.0, 1), (50.0, 10.25, 0), (33.0, 33.0, 1)]
    points = np.array(clicks)
    _, iou, low = predictor.predict(points[:1, :2], points[:1, 2])
    first = segmenter.answer("photo", prompt_of(clicks[0]))
    np.testing.assert_allclose(first.iou, iou, atol=1e-5)
    np.testing.assert_allclose(first.logits, low, atol=1e-4)
    assert choose(first, None) == iou.argmax()
    for chosen in range(3):
        previous = low[chosen : chosen + 1]
        for count in (2, 3):
            masks, _, previous = predictor.predict(
                points[:count, :2], points[:count, 2], mask_input=previous, multimask_output=False
            )
        answer = segmenter.answer("photo", prompt_of(*clicks, choice=chosen))
        np.testing.assert_allclose(answer.logits, previous, atol=1e-3)
        drawn = segmenter.draw("photo", answer, 0, is_preview=False)
        mask = decode_rle({"size": [50, 70], "counts": drawn.counts})
        assert (mask != masks[0]).mean() < 1e-3


def test_a_box_and_a_refined_mask_have_one_mask(segmenter):
    segmenter.embed("photo", PHOTO)
    box = segmenter.answer("photo", prompt_of(box=[5, 5, 40, 30]))
    assert len(box.iou) == 1
    base = np.zeros((50, 70), bool)
    base[10:30, 20:50] = True
    counts = compress_counts(encode_rle(base)["counts"])
    refined = segmenter.answer("photo", prompt_of((25, 15, 0), base=counts))
    assert len(refined.iou) == 1
    assert len(segmenter.answer("photo", prompt_of((25, 15, 0), (30, 20, 1), base=counts)).iou) == 1


def test_embeddings_survive_a_restart_within_their_bound(model, tmp_path):
    def begin(most_bytes=10**9):
        return Segmenter(model, tmp_path, most_bytes, pytest.fail)

    first = begin()
    first.embed("photo", PHOTO)
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    marked = np.full(file.stat().st_size // 4, 0.25, np.float32)
    file.write_bytes(marked.tobytes())
    second = begin()
    second.embed("photo", PHOTO)
    assert (np.asarray(second.find("photo").features) == 0.25).all()  # not computed again
    third = begin(3 * len(marked) * 4)
    for number in range(6):
        third.embed(str(number), PHOTO[number:])
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) == 3
    assert file not in kept


def test_a_full_disk_is_said_once_and_costs_no_answer(model, tmp_path, full_disk):
    said = []
    segmenter = Segmenter(model, tmp_path, 10**9, said.append)
    with full_disk():
        segmenter.embed("one", PHOTO)
        segmenter.embed("other", PHOTO[1:])
    assert len(said) == 1
    assert "not kept on the disk" in said[0]
    np.testing.assert_array_equal(
        segmenter.answer("one", prompt_of((3, 4, 1))).logits.shape, (3, 8, 12)
    )
