"""Files appear whole or not at all, and what cannot be exported is said in one line."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sam_jax.export.files import export_model
from sam_jax.export.lowering import Graph, lower, make_context
from sam_jax.types import InputError, RunError
from tests.export.test_decoder import make_feed


def test_both_parts_of_onnx_are_two_files(small, tmp_path, open_session):
    files = export_model(small.model, tmp_path / "sam.onnx", part="both", raw=True)
    assert [file.name for file in files] == ["sam_encoder.onnx", "sam_decoder.onnx"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert [x.name for x in open_session(files[0]).get_inputs()] == ["input_image"]
    assert len(open_session(files[1]).get_inputs()) == 6


def test_quantised_products_are_of_8_bits_and_masks_agree(small, tmp_path, open_session, draw):
    [plain] = export_model(small.model, tmp_path / "plain.onnx")
    [short] = export_model(small.model, tmp_path / "short.onnx", quantise=True)
    assert short.stat().st_size < 0.8 * plain.stat().st_size
    feed = make_feed(draw, [1, -1], (80, 120))
    masks, others = (open_session(file).run(None, feed)[0] > 0 for file in (plain, short))
    assert (masks & others).sum() / (masks | others).sum() > 0.9


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sam.txt", {}, "cannot tell the format"),
        ("sam.onnx", {"part": "head"}, "part is decoder, encoder or both, not 'head'"),
        ("sam.onnx", {"dtype": "bfloat16"}, "float32 or float16, not bfloat16"),
        ("sam.onnx", {"dtype": "float16", "quantise": True}, "leave out dtype float16"),
        ("sam.onnx", {"masks": "two"}, "masks is all, multi or single, not 'two'"),
        ("sam.onnx", {"outputs": "some"}, "outputs is full, low or cvat, not 'some'"),
        ("sam.stablehlo", {"dtype": "float16"}, "float32 or bfloat16, not float16"),
        ("sam.stablehlo", {"raw": True, "quantise": True}, "raw, quantise: only for .onnx files"),
    ],
)
def test_what_does_not_go_together_is_refused(small, tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        export_model(small.model, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_name_that_exists_is_refused_before_any_work(small, tmp_path):
    (tmp_path / "sam_decoder.onnx").write_text("mine")
    for name, part in (("sam.onnx", "both"), ("sam_decoder.onnx", "decoder")):
        with pytest.raises(InputError, match=r"sam_decoder\.onnx exists; name another file"):
            export_model(small.model, tmp_path / name, part=part)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("sam_decoder.onnx", "mine")
    ]


@pytest.mark.parametrize("name", ["sam.onnx", "sam.stablehlo"])
def test_a_full_disk_leaves_nothing(small, tmp_path, full_disk, name):
    with full_disk(), pytest.raises(RunError, match="free some space"):
        export_model(small.model, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_operation_without_a_form_is_named_with_its_place():
    context = make_context(Graph())
    x = context.value("x", (3,), np.float32)
    with pytest.raises(InputError, match=r"operation sort cannot .*test_files\.py:\d+"):
        lower(context, lambda x: jnp.sort(x), [x])


def test_a_number_type_without_a_form_is_named():
    context = make_context(Graph())
    x = context.value("x", (3,), np.float32)
    with pytest.raises(InputError, match="numbers of type bfloat16 cannot be exported"):
        lower(context, lambda x: x.astype(jnp.bfloat16), [x])


def test_weights_beyond_two_gigabytes_are_refused_with_advice(small, monkeypatch, tmp_path):
    monkeypatch.setattr("sam_jax.export.lowering.graph.LARGEST_FILE", 1 << 20)
    with pytest.raises(InputError, match="export them with dtype float16"):
        export_model(small.model, tmp_path / "sam.onnx", part="both")
    assert not list(tmp_path.iterdir())


def test_precision_of_the_model_does_not_change_the_onnx(small, tmp_path):
    half = replace(small.model, compute=replace(small.model.compute, dtype="bfloat16"))
    contents = [
        export_model(model, tmp_path / name)[0].read_bytes()
        for model, name in ((small.model, "one.onnx"), (half, "other.onnx"))
    ]
    assert contents[0] == contents[1]
    assert jax.tree.leaves(half.variables)
