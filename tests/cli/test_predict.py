import argparse
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sam_jax.checkpoints import (
    convert_checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_clip,
)
from sam_jax.cli.main import main
from sam_jax.data.images import read_image, read_mask, write_image, write_mask
from sam_jax.inference import SamPredictor, load
from sam_jax.inference.mask_prompts import mask_to_logits
from sam_jax.models import init_variables
from sam_jax.ops.boxes import mask_to_box_xywh
from sam_jax.ops.rle import decode_rle
from tests.clip_models import make_colour_clip


@pytest.fixture
def predict(photo, weights, tmp_path):
    """Runs `sam-jax predict` and returns the masks (m, h, w), the JSON and the overlay that it wrote."""

    def run(*prompts):
        output = tmp_path / "results"
        command = ["predict", photo, *prompts, "--checkpoint", weights, "--output", output]
        assert main([str(argument) for argument in command]) == 0
        document = json.loads((output / "bay.json").read_text())
        masks = [read_mask(output / annotation["file"]) for annotation in document["annotations"]]
        return np.stack(masks), document, read_image(output / "bay_overlay.png")

    return run


@pytest.fixture(scope="session")
def predictor(photo, weights):
    predictor = SamPredictor(load(weights))
    predictor.set_image(read_image(photo))
    return predictor


def test_one_click_gives_three_masks_and_says_where_they_are(
    predict, predictor, photo, tmp_path, capsys
):
    masks, document, overlay = predict("--point", "30,20")
    expected, scores, _ = predictor.predict(np.array([[30.0, 20.0]]), np.array([1]))
    np.testing.assert_array_equal(masks, expected)

    assert document["image"] == {"file_name": "bay.png", "width": 60, "height": 40}
    assert document["prompts"] == {
        "points": [[30.0, 20.0]],
        "labels": [1],
        "boxes": [],
        "masks": 0,
    }
    annotations = document["annotations"]
    np.testing.assert_allclose([a["predicted_iou"] for a in annotations], scores, atol=1e-6)
    assert [a["best"] for a in annotations] == (scores == scores.max()).tolist()
    for index, (annotation, mask) in enumerate(zip(annotations, masks, strict=True)):
        assert annotation["id"] == index
        assert annotation["object"] == 0
        assert annotation["file"] == f"bay_mask_{index}.png"
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == mask_to_box_xywh(mask).tolist()
        np.testing.assert_array_equal(decode_rle(annotation["segmentation"]), mask)

    assert overlay.shape == (40, 60, 3)
    assert (overlay != read_image(photo)).any()
    assert sorted(os.listdir(tmp_path / "results")) == sorted(
        ["bay.json", "bay_overlay.png", *(f"bay_mask_{index}.png" for index in range(3))]
    )
    shown = capsys.readouterr().out
    for text in (
        "bay_mask_2.png",
        f"{scores[2]:.3f}",
        "bay_overlay.png",
        str(tmp_path / "results"),
    ):
        assert text in shown.replace("\n", "")


def test_several_prompts_for_one_object_give_one_mask(predict, predictor):
    masks, document, _ = predict("--point", "30.5,20", "--negative", "3,4", "--box", "10,5,50,35")
    expected, scores, _ = predictor.predict(
        np.array([[30.5, 20.0], [3.0, 4.0]]),
        np.array([1, 0]),
        np.array([10.0, 5.0, 50.0, 35.0]),
        multimask_output=False,
    )
    np.testing.assert_array_equal(masks, expected)
    assert document["prompts"]["labels"] == [1, 0]
    assert document["annotations"][0]["predicted_iou"] == pytest.approx(scores[0], abs=1e-6)


def test_several_boxes_mean_several_objects(predict, predictor):
    masks, document, _ = predict("--box", "0,0,30,20", "--box", "10,5,60,40", "--multimask")
    expected, _, _ = predictor.predict_batch(
        boxes=np.array([[0.0, 0, 30, 20], [10, 5, 60, 40]]), multimask_output=True
    )
    np.testing.assert_array_equal(masks, expected.reshape(6, 40, 60))
    assert [a["object"] for a in document["annotations"]] == [0, 0, 0, 1, 1, 1]
    assert sum(a["best"] for a in document["annotations"]) == 2


def test_one_mask_for_one_click_on_request(predict):
    masks, _, _ = predict("--point", "30,20", "--single")
    assert len(masks) == 1


def test_mask_prompts(predict, predictor, tmp_path):
    rough = np.zeros((40, 60), bool)
    rough[10:30, 20:50] = True
    write_mask(tmp_path / "rough.png", rough)
    logits = mask_to_logits(rough, predictor.input_size, (64, 64))[None]

    masks, document, _ = predict("--mask", tmp_path / "rough.png")
    expected, _, _ = predictor.predict(mask_input=logits, multimask_output=False)
    np.testing.assert_array_equal(masks, expected)
    assert document["prompts"]["masks"] == 1

    with_click, _, _ = predict("--mask", tmp_path / "rough.png", "--point", "30,20")
    expected, _, _ = predictor.predict(
        np.array([[30.0, 20.0]]), np.array([1]), mask_input=logits, multimask_output=False
    )
    np.testing.assert_array_equal(with_click, expected)


BAD_PROMPTS = {
    "nothing": ([], "no prompt: add a click on the object.*--point 320,240"),
    "point right of the image": (
        ["--point", "60,20"],
        "--point 60,20 is outside.* 60 wide and 40 high",
    ),
    "point left of the image": (["--point", "-1,20"], "--point -1,20 is outside the image"),
    "negative point below": (["--negative", "5,40"], "--negative 5,40 is outside the image"),
    "one number": (["--point", "5"], "--point 5: expected X,Y, for example --point 320,240"),
    "three numbers": (["--point", "5,6,7"], "--point 5,6,7: expected X,Y"),
    "no numbers": (["--point", "a,b"], "--point a,b: expected X,Y"),
    "not a number": (["--point", "nan,3"], "--point nan,3: expected X,Y"),
    "empty box": (["--box", "9,9,9,20"], "--box 9,9,9,20 is empty"),
    "box upside down": (["--box", "9,20,30,10"], "--box 9,20,30,10 is empty"),
    "box outside": (["--box", "50,30,61,40"], "reaches outside the image.* 60 wide and 40 high"),
    "box of three": (["--box", "1,2,3"], "--box 1,2,3: expected X0,Y0,X1,Y1"),
    "points with boxes": (
        ["--box", "0,0,9,9", "--box", "9,9,20,20", "--point", "3,3"],
        "points belong to one object, but 2 boxes",
    ),
    "mask of another size": (
        ["--mask", "{small}"],
        "small.png is 5 wide and 4 high, but the image is 60",
    ),
    "empty mask": (["--mask", "{empty}"], "empty.png is empty: every pixel is black"),
    "no such mask": (["--mask", "{tmp}/none.png"], "no such file: .*none.png"),
    "unequal numbers": (
        ["--mask", "{full}", "--box", "0,0,9,9", "--box", "1,1,9,9"],
        "2 boxes and 1 mask do not pair up",
    ),
}


@pytest.mark.parametrize(("prompts", "message"), BAD_PROMPTS.values(), ids=BAD_PROMPTS.keys())
def test_bad_prompts_are_refused_before_the_model_is_read(
    complaint, photo, tmp_path, prompts, message
):
    names = {"small": (4, 5), "empty": (40, 60), "full": (40, 60)}
    for name, size in names.items():
        write_mask(tmp_path / f"{name}.png", np.full(size, name == "full"))
    places = {"tmp": tmp_path} | {name: tmp_path / f"{name}.png" for name in names}
    output = tmp_path / "results"
    line = complaint(
        "predict",
        photo,
        *(prompt.format(**places) for prompt in prompts),
        *("--output", output, "--checkpoint", tmp_path / "never read.pth"),
    )
    assert re.search(message, line)
    assert not output.exists()


def test_bad_images_are_refused(complaint, photo, weights, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "half.png").write_bytes(photo.read_bytes()[:2000])
    messages = {
        "none.png": "no such file",
        "notes.txt": "is not an image",
        "half.png": "truncated or damaged",
    }
    for name, message in messages.items():
        line = complaint(
            *("predict", tmp_path / name, "--point", "3,4"),
            *("--checkpoint", weights, "--output", tmp_path / "results"),
        )
        assert message in line
        assert name in line
    assert not (tmp_path / "results").exists()


def test_bad_checkpoints_are_refused(complaint, photo, weights, tmp_path):
    (tmp_path / "half.safetensors").write_bytes(weights.read_bytes()[:5000])
    (tmp_path / "notes.pth").write_text("not weights")
    for name in ("half.safetensors", "notes.pth", "none.pth"):
        line = complaint(
            *("predict", photo, "--point", "3,4"),
            *("--checkpoint", tmp_path / name, "--output", tmp_path / "results"),
        )
        assert name in line
    assert sorted(os.listdir(tmp_path)) == ["half.safetensors", "notes.pth"]


def test_an_image_too_thin_for_the_model_is_refused(complaint, weights, tmp_path):
    Image.new("RGB", (500, 1)).save(tmp_path / "thin.png")
    line = complaint(
        *("predict", tmp_path / "thin.png", "--point", "3,0"),
        *("--checkpoint", weights, "--output", tmp_path / "results"),
    )
    assert "too thin" in line
    assert not (tmp_path / "results").exists()


def test_output_must_not_be_a_file(complaint, photo, tmp_path):
    (tmp_path / "results").write_text("precious")
    line = complaint("predict", photo, "--point", "3,4", "--output", tmp_path / "results")
    assert "is a file; name a folder" in line
    assert (tmp_path / "results").read_text() == "precious"


@pytest.mark.parametrize("earlier", [False, True], ids=["new folder", "earlier results"])
def test_a_full_disk_leaves_nothing_half_written(
    complaint, photo, weights, tmp_path, monkeypatch, full_disk, earlier
):
    def write_to_full_disk(path, pixels):
        with full_disk():
            write_image(path, pixels)

    output = tmp_path / "new" / "results"
    command = ["predict", photo, "--point", "3,4", "--checkpoint", weights, "--output", output]
    if earlier:
        assert main([str(word) for word in command]) == 0
    before = {path: path.read_bytes() for path in output.glob("*")}
    assert bool(before) == earlier
    monkeypatch.setattr("sam_jax.cli.prediction_files.write_image", write_to_full_disk)
    line = complaint(*command, code=1)
    assert f"cannot write {output}: File too large" in line
    assert {path: path.read_bytes() for path in output.glob("*")} == before
    assert output.exists() == earlier


def test_what_was_read_of_a_photo_is_said_in_one_line(weights, tmp_path, capsys):
    levels = np.random.default_rng(0).integers(0, 4096, (40, 60)).astype(np.uint16)
    pages = [Image.fromarray(levels), Image.fromarray(levels)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    command = ["predict", tmp_path / "scan.tif", "--point", "3,4", "--checkpoint", weights]
    assert main([str(word) for word in [*command, "--output", tmp_path / "out"]]) == 0
    first, second = capsys.readouterr().err.splitlines()[:2]
    assert first == f"note: {tmp_path}/scan.tif has 2 pages; only the first is read"
    assert second.startswith(
        f"note: {tmp_path}/scan.tif has 16 bits a channel and reaches no higher"
    )


def test_where_the_weights_lay_is_said(photo, weights, tmp_path, capsys):
    convert_checkpoint(weights, tmp_path / "sam.pth")
    state = torch.load(tmp_path / "sam.pth", weights_only=True)
    training = {
        "state_dict": {f"model.{key}": tensor for key, tensor in state.items()},
        "args": argparse.Namespace(rate=0.1),
    }
    torch.save(training, tmp_path / "last.ckpt")
    said = "the weights lie under state_dict/model.; not used: args (argparse.Namespace)"
    command = ["predict", str(photo), "--point", "3,4", "--output", str(tmp_path / "out")]
    assert main([*command, "--checkpoint", str(tmp_path / "last.ckpt")]) == 0
    assert f"in {tmp_path}/last.ckpt, {said}" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "last.ckpt"), str(tmp_path / "a.pth")]) == 0
    assert f"in {tmp_path}/last.ckpt, {said}" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "last.ckpt"), str(tmp_path / "hf")]) == 0
    assert sorted(os.listdir(tmp_path / "hf")) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    capsys.readouterr()
    assert main(["info", str(tmp_path / "last.ckpt")]) == 0
    shown = capsys.readouterr().out
    for text in ("weights under", "state_dict/model.", "not used", "args (argparse.Namespace)"):
        assert text in shown
    for path in (weights, tmp_path / "a.pth", tmp_path / "hf"):
        assert main(["info", str(path)]) == 0
        assert "not used" not in capsys.readouterr().out


def test_a_second_run_leaves_no_masks_of_the_first(predict, tmp_path):
    predict("--point", "30,20")
    mine = tmp_path / "results" / "bay_mask_7.png"
    write_mask(mine, np.ones((4, 6), bool))
    masks, _, _ = predict("--box", "5,5,40,30")
    assert len(masks) == 1
    names = ["bay.json", "bay_mask_0.png", "bay_mask_7.png", "bay_overlay.png"]
    assert sorted(os.listdir(tmp_path / "results")) == names


def test_a_json_file_of_somebody_else_stays(photo, weights, tmp_path, complaint):
    truth = tmp_path / "bay.json"
    truth.write_text('{"annotations": []}')
    message = complaint(
        *("predict", photo, "--point", "30,20", "--checkpoint", weights, "--output", tmp_path)
    )
    assert "bay.json is there already" in message
    assert truth.read_text() == '{"annotations": []}'
    assert os.listdir(tmp_path) == ["bay.json"]


@pytest.fixture(scope="module")
def with_text(tmp_path_factory, weights):
    """The miniature model with a text projection, and its CLIP."""
    folder = tmp_path_factory.mktemp("text")
    config, variables = load_checkpoint(weights)
    config = replace(config, prompt_encoder=replace(config.prompt_encoder, text_width=3))
    variables["params"]["prompt_encoder"]["text_projection"] = init_variables(config)["params"][
        "prompt_encoder"
    ]["text_projection"]
    for name, head in variables["params"]["mask_decoder"].items():
        if name.startswith("output_hypernetworks_mlps"):
            head["layers_2"]["bias"][:] = 50  # no mask is empty
    save_checkpoint(folder / "sam.safetensors", config, variables)
    save_clip(folder / "clip", make_colour_clip())
    return ["--checkpoint", folder / "sam.safetensors", "--clip", folder / "clip"]


def test_phrases_give_what_fits_and_say_what_does_not(photo, with_text, tmp_path, capsys):
    command = ["predict", photo, "--output", tmp_path / "masks", *with_text]
    phrases = ["--text", "red", "--text", "blue"]
    assert main([str(a) for a in (*command, *phrases, "--text-threshold", "1")]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"nothing found that fits 'red'( \(.*\))?, 'blue'( \(.*\))? by --text-threshold 1\n", said
    )
    assert not (tmp_path / "masks").exists()
    assert main([str(a) for a in (*command, *phrases, "--text-threshold", "-1")]) == 0
    document = json.loads((tmp_path / "masks" / "bay.json").read_text())
    assert document["prompts"]["text"] == ["red", "blue"]
    assert [a["phrase"] for a in document["annotations"]] == ["red", "blue"]
    assert all(-1 <= a["similarity"] <= 1 for a in document["annotations"])
    assert "similarity" in capsys.readouterr().out
    assert main([str(a) for a in (*command, "--text", "red", "--point", "30,20")]) == 0
    document = json.loads((tmp_path / "masks" / "bay.json").read_text())
    assert len(document["annotations"]) == 1


def test_phrases_that_cannot_be_looked_for(photo, weights, with_text, tmp_path, complaint):
    output = ["--output", tmp_path / "masks"]
    line = complaint("predict", photo, "--text", "a wheel", "--checkpoint", weights, *output)
    assert "not trained with text" in line
    assert "sam-jax generate --text" in line
    ask = ["predict", photo, *output, *with_text]
    for arguments, message in (
        (["--text", " "], "this one is empty"),
        (["--text", "red", "--text", "red"], "a phrase is there twice"),
        (["--text", "red", "--text", "blue", "--point", "3,3"], "give one phrase"),
        (["--text", "red", "--box", "1,1,9,9", "--box", "3,3,9,9"], "give one phrase"),
        (["--text", "red", "--multimask"], "leave out --multimask"),
        (["--text", "red", "--text-threshold", "2"], "threshold"),
        (["--point", "3,3"], "--clip belongs to --text"),
    ):
        assert message in complaint(*ask, *arguments)
    assert not (tmp_path / "masks").exists()
