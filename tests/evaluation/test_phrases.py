"""Phrases that choose among things, by the CLIP that comes with the package."""

import numpy as np
import pytest

from sam_jax.checkpoints.contents import SHIPPED_CLIP_FOLDER
from sam_jax.data.drawn import DrawnSource
from sam_jax.data.phrases import fits, is_held_back
from sam_jax.evaluation.phrases import ask, measure_choices, measure_ranking
from sam_jax.inference.loading import load_clip_model
from sam_jax.models.clip import CLIP_TINY

OLD, NEW = DrawnSource(seed=7), DrawnSource(seed=7, held_back=True)


@pytest.fixture(scope="module")
def clip():
    return load_clip_model("drawings")


@pytest.mark.parametrize("source", [OLD, NEW], ids=["old", "new"])
def test_questions_have_one_answer_or_none(source):
    answers = set()
    for example, questions in ask(source, 10):
        assert len(questions) > 2
        for phrase, answer in questions:
            fitting = [k for k, thing in enumerate(example.objects) if fits(phrase, thing)]
            assert fitting == ([] if answer < 0 else [answer])
            if answer >= 0:
                assert source.held_back == is_held_back(phrase.texture, phrase.colour, phrase.shape)
            answers.add(answer)
    assert {-1, 0} < answers or source.held_back
    assert [questions for _, questions in ask(source, 10)] == [
        questions for _, questions in ask(source, 10)
    ]


def test_the_shipped_clip_chooses_well(clip):
    assert clip.config == CLIP_TINY
    assert sum(path.stat().st_size for path in SHIPPED_CLIP_FOLDER.rglob("*")) < 3e6
    old, new = measure_choices(clip, OLD, 12), measure_choices(clip, NEW, 12)
    assert old.phrases > 40
    assert old.right > 0.85
    assert new.right > 0.7
    assert old.found <= old.right
    assert old.refused > 0.6
    never = measure_choices(clip, OLD, 2, threshold=2.0)
    assert (never.found, never.refused) == (0, 1)


class FewMasks:
    """A generator that finds some of the things of the drawings that it is made for, and the background."""

    def __init__(self, source, found):
        self.masks = {}
        for index in range(4):
            example = source[index]
            everything = [example.masks[k] for k in range(len(example.masks))]
            self.masks[example.image.tobytes()] = [
                *everything[:found],
                ~np.any(everything, axis=0),
            ][: 1 + found]

    def generate(self, image):
        return [{"segmentation": m, "area": int(m.sum())} for m in self.masks[image.tobytes()]]


def test_ranking_of_masks(clip):
    everything = measure_ranking(FewMasks(OLD, 6), clip, OLD, 4)
    assert everything.best_iou == 1
    assert everything.right > 0.8
    assert everything.mean_iou == pytest.approx(everything.right)
    nothing = measure_ranking(FewMasks(OLD, 0), clip, OLD, 4)
    assert (nothing.right, nothing.mean_iou, nothing.best_iou) == (0, 0, 0)
    few = measure_ranking(FewMasks(OLD, 3), clip, OLD, 4)
    assert few.mean_iou == pytest.approx(few.right)
    assert few.mean_iou <= few.best_iou < 1
