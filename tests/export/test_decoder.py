"""The exported decoder takes the place of the official exporter's: same names, same shapes, same numbers."""

from typing import Any

import jax
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from experiments.reference_onnx import INPUTS, export_official_decoder
from sam_jax.export.onnx_models import make_decoder
from sam_jax.export.options import DecoderOptions

SIDE = 128


@pytest.fixture(scope="module")
def ours(small, open_session):
    return open_session(make_decoder(small.model))


@pytest.fixture(scope="module")
def official(small, open_session, tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "official.onnx"
    export_official_decoder(small.torch_model, path)
    return open_session(path)


def make_feed(
    draw: np.random.Generator, labels: list[int], size: tuple[int, int], has_mask: float = 0
) -> dict[str, np.ndarray]:
    height, width = size
    extent = np.array([width, height]) * SIDE / max(size)
    arrays = (
        draw.normal(size=(1, 32, 8, 8)),
        draw.random((1, len(labels), 2)) * extent,
        [labels],
        draw.normal(size=(1, 1, 32, 32)) * 5,
        [has_mask],
        size,
    )
    return {name: np.asarray(array, np.float32) for name, array in zip(INPUTS, arrays, strict=True)}


CASES: dict[str, Any] = {
    "a point alone": ([1], (48, 64), 0),
    "a point and its padding": ([1, -1], (150, 100), 0),
    "points": ([1, 0, 1, 0, -1], (77, 201), 0),
    "twelve points": ([1, 0] * 6, (128, 33), 0),
    "twenty points": ([1, 0, 0, 1] * 5, (300, 451), 0),
    "box": ([2, 3], (90, 160), 0),
    "box with points": ([1, 0, 2, 3], (161, 90), 0),
    "mask": ([1, -1], (64, 128), 1),
    "mask with box": ([2, 3], (256, 100), 1),
    "a mask that doesn't count": ([1, -1], (100, 130), -1),
    "one row of pixels": ([1, -1], (1, 200), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_gives_the_official_outputs(ours, official, draw, case):
    labels, size, has_mask = CASES[case]
    feed = make_feed(draw, labels, size, has_mask)
    answers = ours.run(None, feed)
    expected = official.run(None, feed | {"has_mask_input": np.maximum(feed["has_mask_input"], 0)})
    assert [a.shape for a in answers] == [(1, 4, *size), (1, 4), (1, 4, 32, 32)]
    for answer, other in zip(answers, expected, strict=True):
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, other, rtol=0, atol=1e-5 * np.abs(other).max())
    assert np.mean((answers[0] > 0) == (expected[0] > 0)) >= 0.9999


def test_has_the_official_names_types_and_shapes(ours, official):
    assert [x.name for x in ours.get_inputs()] == list(INPUTS)
    for side in ("get_inputs", "get_outputs"):
        mine, theirs = ({x.name: x for x in getattr(s, side)()} for s in (ours, official))
        assert list(mine) == list(theirs)
        for name, one in mine.items():
            assert one.type == theirs[name].type
            fixed = zip(one.shape, theirs[name].shape, strict=True)
            assert all(isinstance(a, str) or a == b for a, b in fixed if isinstance(b, int)), name


def test_chooses_one_mask_as_the_official_exporter(small, open_session, tmp_path, draw):
    export_official_decoder(small.torch_model, tmp_path / "official.onnx", single=True)
    official = open_session(tmp_path / "official.onnx")
    single = open_session(make_decoder(small.model, DecoderOptions(masks="single")))
    for labels in ([1], [1, -1], [1, 0, -1], [2, 3, 1, 0]):
        feed = make_feed(draw, labels, (80, 120))
        for answer, other in zip(single.run(None, feed), official.run(None, feed), strict=True):
            np.testing.assert_allclose(answer, other, rtol=0, atol=1e-5 * np.abs(other).max())


def test_three_masks_are_the_last_of_four(small, ours, open_session, draw):
    feed = make_feed(draw, [1, -1], (80, 120))
    three = open_session(make_decoder(small.model, DecoderOptions(masks="multi"))).run(None, feed)
    for answer, all_four in zip(three, ours.run(None, feed), strict=True):
        np.testing.assert_allclose(answer, all_four[:, 1:], rtol=0, atol=1e-5)


def test_without_masks_at_the_photos_size(small, ours, open_session, draw):
    feed = make_feed(draw, [1, -1], (80, 120))
    low = open_session(make_decoder(small.model, DecoderOptions(outputs="low")))
    assert [x.name for x in low.get_outputs()] == ["iou_predictions", "low_res_masks"]
    size = feed.pop("orig_im_size")
    expected = ours.run(["iou_predictions", "low_res_masks"], feed | {"orig_im_size": size})
    for answer, other in zip(low.run(None, feed), expected, strict=True):
        np.testing.assert_array_equal(answer, other)


def test_cvat_gets_a_cropped_mask_and_its_box(small, ours, open_session, draw):
    options = DecoderOptions(masks="single", outputs="cvat")
    cvat = open_session(make_decoder(small.model, options))
    names = [x.name for x in cvat.get_outputs()]
    assert names == ["masks", "iou_predictions", "low_res_masks", "xtl", "ytl", "xbr", "ybr"]
    feed = make_feed(draw, [1, 0, 1, -1], (80, 120))
    found = dict(zip(names, cvat.run(None, feed), strict=True))
    inside = ours.run(None, feed)[0][0, 0] > 0
    rows, columns = np.nonzero(inside)
    box = [int(found[name][0]) for name in ("xtl", "ytl", "xbr", "ybr")]
    assert box == [columns.min(), rows.min(), columns.max(), rows.max()]
    assert found["masks"].dtype == np.uint8
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(
        found["masks"][0, 0], inside[box[1] : box[3] + 1, box[0] : box[2] + 1]
    )


def test_an_empty_mask_has_a_box_of_one_pixel(small, open_session, draw):
    model = small.model
    filters = model.variables["params"]["mask_decoder"]
    nothing = {
        name: {
            "layers_2": {
                "kernel": 0 * leaf["layers_2"]["kernel"],
                "bias": 0 * leaf["layers_2"]["bias"],
            }
        }
        for name, leaf in filters.items()
        if name.startswith("output_hypernetworks")
    }
    decoder = {**filters, **{name: {**filters[name], **leaf} for name, leaf in nothing.items()}}
    params = {**model.variables["params"], "mask_decoder": decoder}
    empty = model.replace(variables={**model.variables, "params": params})
    options = DecoderOptions(masks="single", outputs="cvat")
    session = open_session(make_decoder(empty, options))
    found = session.run(None, make_feed(draw, [1, -1], (80, 120)))
    assert [int(edge[0]) for edge in found[3:]] == [0, 0, 0, 0]
    np.testing.assert_array_equal(found[0], np.zeros((1, 1, 1, 1), np.uint8))


def test_weights_lie_in_the_file_once(small):
    model = make_decoder(small.model)
    params = small.model.variables["params"]
    count = sum(
        np.size(leaf)
        for part in ("prompt_encoder", "mask_decoder")
        for leaf in jax.tree.leaves(params[part])
    )
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    floats = sum(array.size for array in arrays if array.dtype == np.float32)
    assert count - 32 <= floats <= 1.1 * count  # one embedding is added to another before
    with_choice = make_decoder(small.model, DecoderOptions(masks="single"))
    assert len(with_choice.SerializeToString()) < 1.05 * len(model.SerializeToString())


def test_there_are_no_loops_and_another_checker_agrees(small):
    model = make_decoder(small.model)
    assert not {"Loop", "Scan", "If"} & {node.op_type for node in model.graph.node}
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["image_size"] == "128,128"
    assert [entry.version for entry in model.opset_import] == [18]


def test_weights_of_16_bits(small, ours, open_session, draw):
    model = make_decoder(small.model, dtype="float16")
    feed = make_feed(draw, [1, -1], (80, 120))
    for answer, other in zip(
        open_session(model).run(None, feed), ours.run(None, feed), strict=True
    ):
        np.testing.assert_allclose(answer, other, rtol=0, atol=0.02 * np.abs(other).max())
        assert not np.array_equal(answer, other)
