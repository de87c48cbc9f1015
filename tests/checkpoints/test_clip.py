import gzip
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch
import transformers

from sam_jax.checkpoints import load_checkpoint, load_clip, name_clip, save_clip
from sam_jax.checkpoints.clip import clip_shapes
from sam_jax.checkpoints.clip_names import HUGGING_FACE_CLIP_NAMES, OPENAI_CLIP_NAMES
from sam_jax.models.clip import (
    CLIP_VIT_L_14_336,
    ClipConfig,
    ClipModel,
    ClipTokeniser,
    init_clip,
)
from sam_jax.types import CheckpointError, InputError
from tests.clip_models import SMALL, learn_words, make_clip, openai_state, save_script

LINES = ["the striped red circle", "a small green triangle left of the wheel", "ein grünes Rad 12"]
TEXT = {"hidden_size": 64, "num_attention_heads": 1, "eos_token_id": 2}
IMAGE = {"hidden_size": 128, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def words_and_merges():
    return learn_words(LINES * 3, 600)


@pytest.fixture(scope="module")
def theirs():
    return make_clip(text=TEXT, image=IMAGE)


@pytest.fixture(scope="module")
def square(words_and_merges) -> ClipModel:
    """A model with its words, of square images."""
    words, merges = words_and_merges
    text = replace(SMALL.text, vocabulary=len(words) + 5, end_of_text=words["<|endoftext|>"])
    config = replace(SMALL, text=text, image=replace(SMALL.image, image_size=(24, 24)))
    return ClipModel(config, init_clip(config), tokeniser=ClipTokeniser(words, merges, context=12))


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_names_are_those_of_transformers(theirs):
    clip_config = ClipConfig(
        text=replace(SMALL.text, width=64, num_heads=1, end_of_text=None),
        image=replace(SMALL.image, width=128, num_heads=2, image_size=(32, 32)),
        width=20,
    )
    wanted = {name: tuple(tensor.shape) for name, tensor in openai_state(theirs).items()}
    assert dict(clip_shapes(clip_config, OPENAI_CLIP_NAMES)) == wanted
    ours = dict(clip_shapes(clip_config, HUGGING_FACE_CLIP_NAMES))
    hugging_face = {
        name.replace(".q_proj.", ".qkv_proj."): tuple(tensor.shape)
        for name, tensor in theirs.state_dict().items()
        if not re.search(r"\.[kv]_proj\.", name)
    }
    assert set(ours) == set(hugging_face)
    assert len(clip_shapes(CLIP_VIT_L_14_336, OPENAI_CLIP_NAMES)) == 446


def test_one_model_in_many_files(tmp_path, theirs):
    theirs.save_pretrained(tmp_path / "folder")
    torch.save(openai_state(theirs), tmp_path / "openai.pt")
    wrapped = {f"module.{name}": tensor for name, tensor in openai_state(theirs).items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {}}, tmp_path / "wrapped.pth")
    old = {"text_model.embeddings.position_ids": torch.arange(12)[None]}
    torch.save({**theirs.state_dict(), **old}, tmp_path / "their_state.bin")
    expected = load_clip(tmp_path / "folder", with_words=False)
    assert expected.config.text.end_of_text is None
    assert expected.config.image.image_size == (32, 32)
    for name in ("openai.pt", "wrapped.pth", "their_state.bin", "folder/model.safetensors"):
        clip = load_clip(tmp_path / name, with_words=False)
        assert clip.config == expected.config
        assert same(clip.variables, expected.variables), name
    assert clip.variables["params"]["logit_scale"].shape == ()
    assert clip.variables["params"]["text"]["proj"]["kernel"].flags.c_contiguous


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
import jax, numpy as np
from sam_jax.checkpoints import load_clip
script, plain = (load_clip(path, with_words=False) for path in sys.argv[1:])
assert script.config == plain.config
halves = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), plain.variables)
assert jax.tree.all(jax.tree.map(np.array_equal, script.variables, halves))
"""


def test_openais_archive_is_read_without_torch(tmp_path, theirs):
    save_script(tmp_path / "clip.pt", openai_state(theirs))
    torch.save(openai_state(theirs), tmp_path / "plain.pt")
    files = [str(tmp_path / name) for name in ("clip.pt", "plain.pt")]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *files], check=True)


def test_what_is_written_is_read_here_and_by_transformers(tmp_path, square):
    save_clip(tmp_path / "clip", square)
    again = load_clip(tmp_path / "clip")
    assert again.config == square.config
    assert same(again.variables, square.variables)
    np.testing.assert_array_equal(again.tokeniser(LINES), square.tokeniser(LINES))
    theirs, told = transformers.CLIPModel.from_pretrained(
        tmp_path / "clip", output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    kernel = theirs.text_model.encoder.layers[1].self_attn.k_proj.weight.detach().numpy()
    ours = square.variables["params"]["text"]["blocks_1"]["attn"]["qkv"]["kernel"]
    np.testing.assert_array_equal(kernel, ours[:, 32:64].T)
    tokens = transformers.CLIPTokenizer.from_pretrained(tmp_path / "clip")(
        LINES, padding="max_length", truncation=True
    )["input_ids"]
    np.testing.assert_array_equal(tokens, square.tokeniser(LINES))


def test_half_precision_a_bias_and_a_shift(tmp_path, square):
    config = replace(
        square.config,
        has_logit_bias=True,
        has_prompt_shift=True,
        text=replace(square.config.text, end_of_text=None),
    )
    model = square.replace(config=config, variables=init_clip(config))
    shift = model.variables["params"]["prompt_shift"]
    assert shift.shape == (config.width,)
    shift[:] = np.arange(config.width) / 8
    save_clip(tmp_path / "clip", model, dtype="float16")
    again = load_clip(tmp_path / "clip")
    assert again.config == config
    assert again.variables["params"]["logit_bias"] == -10
    assert again.variables["params"]["prompt_shift"][3] == 3 / 8
    halves = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), model.variables)
    assert same(again.variables, halves)


def test_words_from_each_kind_of_file(tmp_path, square, words_and_merges):
    words, merges = words_and_merges
    expected = square.tokeniser(LINES)
    save_clip(tmp_path, square)
    transformers.CLIPTokenizer.from_pretrained(tmp_path).backend_tokenizer.save(
        str(tmp_path / "tokenizer.json")
    )
    (tmp_path / "merges.txt").unlink()
    np.testing.assert_array_equal(load_clip(tmp_path).tokeniser(LINES), expected)
    # OpenAI's list has more merges than CLIP: those that fit its vocabulary count.
    for name in ("tokenizer.json", "vocab.json"):
        (tmp_path / name).unlink()
    config = replace(square.config.text, vocabulary=len(words), end_of_text=None)
    model = square.replace(config=replace(square.config, text=config))
    model = ClipModel(model.config, init_clip(model.config))
    save_clip(tmp_path / "two", model)
    lines = ['"bpe_simple_vocab_16e6.txt#version: 0.2"', *(" ".join(pair) for pair in merges)]
    packed = gzip.compress("\n".join([*lines, "zzz qqq"]).encode())
    (tmp_path / "two" / "bpe_simple_vocab_16e6.txt.gz").write_bytes(packed)
    loaded = load_clip(tmp_path / "two").tokeniser
    texts = [" ".join(sorted(words)).replace("</w>", ""), *LINES]
    theirs = ClipTokeniser(loaded.words, merges, context=12)
    np.testing.assert_array_equal(loaded(texts), theirs(texts))
    # Byte 0x21 is the first, and the words of start and end are the last.
    assert (loaded.words["!"], loaded.words["!</w>"]) == (0, 256)
    assert loaded.words["<|endoftext|>"] == len(words) - 1


def test_words_that_are_missing_or_damaged(tmp_path, square):
    save_clip(tmp_path, square)
    vocabulary = (tmp_path / "vocab.json").read_text()
    for content, told in (
        ("{", "vocab.json cannot be read as JSON"),
        ("[]", "vocab.json is no list of words and their numbers"),
        ('{"a": "b"}', "vocab.json is no list of words and their numbers"),
        ('{"a": 0}', r"vocabulary of a CLIP has the word <\|startoftext\|>"),
        ('{"a": 100000}', "they belong to another model"),
    ):
        (tmp_path / "vocab.json").write_text(content)
        with pytest.raises(CheckpointError, match=told):
            load_clip(tmp_path)
    (tmp_path / "vocab.json").write_text(vocabulary)
    for content, told in (
        (b"#version: 0.2\na b c\n", r"\['a', 'b', 'c'\] is no pair"),
        (b"#version: 0.2\nzzz qqq\n", "the merges do not fit the vocabulary"),
        (b"\xff\xfe", "no text in UTF-8"),
    ):
        (tmp_path / "merges.txt").write_bytes(content)
        with pytest.raises(CheckpointError, match=told):
            load_clip(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(
        InputError, match=r"has no words for CLIP: put bpe_simple_vocab_16e6.txt.gz there"
    ) as error:
        load_clip(tmp_path)
    assert "\n" not in str(error.value)
    assert load_clip(tmp_path, with_words=False).tokeniser is None
    whole = gzip.compress(b"a b\n" * 1000)
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(whole[:20])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_clip(tmp_path)
    for document in ({}, {"model": {"vocab": 3}}, {"model": {"vocab": {}, "merges": [7]}}, []):
        (tmp_path / "vocab.json").unlink(missing_ok=True)
        (tmp_path / "tokenizer.json").write_text(json.dumps(document))
        with pytest.raises(CheckpointError, match=r"no tokeniser of byte pairs|no pair of parts"):
            load_clip(tmp_path)


def test_a_malicious_archive_runs_nothing(tmp_path):
    marker = tmp_path / "marker"
    for kind, body in {
        # a module of TorchScript whose attribute is a call, one made by a call, and code in the archive
        "attribute": b"\x80\x02c__torch__\nM\n)\x81}(X\x01\x00\x00\x00a"
        b"cos\nsystem\n(V" + f"touch {marker}".encode() + b"\ntRub.",
        "call": b"\x80\x02c__torch__\nsystem\n(V" + f"touch {marker}".encode() + b"\ntR.",
        "built": b"\x80\x02c__torch__\nM\n)\x81cos\nsystem\n(V"
        + f"touch {marker}".encode()
        + b"\ntRb.",
    }.items():
        path = tmp_path / f"{kind}.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("clip/data.pkl", body)
            archive.writestr("clip/code/__torch__.py", f"import os; os.system('touch {marker}')")
        with pytest.raises(CheckpointError, match=r"nothing was run|holds no state dict"):
            load_clip(path)
    assert not marker.exists()


def test_a_module_that_holds_itself(tmp_path):
    """Attributes may lead back to their module; the archive is walked once."""
    body = (
        b"\x80\x02c__torch__\nM\nq\x00)\x81q\x01}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01ub."
    )
    with zipfile.ZipFile(tmp_path / "loop.pt", "w") as archive:
        archive.writestr("clip/data.pkl", body)
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_clip(tmp_path / "loop.pt")


@pytest.mark.parametrize("end", [10, 1000, -200])
def test_truncated_archives(tmp_path, theirs, end):
    save_script(tmp_path / "clip.pt", openai_state(theirs))
    content = (tmp_path / "clip.pt").read_bytes()
    (tmp_path / "clip.pt").write_bytes(content[:end])
    with pytest.raises(CheckpointError) as error:
        load_clip(tmp_path / "clip.pt", with_words=False)
    assert "\n" not in str(error.value)


def test_misfits_are_told_at_once(tmp_path, theirs):
    state = openai_state(theirs)
    broken = dict(state)
    broken["visual.ln_post.bias"] = torch.zeros(7)
    del broken["ln_final.bias"]
    broken["extra"] = torch.zeros(1)
    torch.save(broken, tmp_path / "broken.pt")
    with pytest.raises(
        CheckpointError,
        match=r"does not fit a CLIP of width 128 and depth 2.*1 missing \(ln_final.bias\), 1 unexpected \(extra\), "
        r"1 misshapen \(visual.ln_post.bias: \(7\) instead of \(128\)\)",
    ):
        load_clip(tmp_path / "broken.pt", with_words=False)
    torch.save({**state, "visual.layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pt")
    with pytest.raises(CheckpointError, match="image tower is a ResNet"):
        load_clip(tmp_path / "resnet.pt")
    del state["visual.conv1.weight"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(CheckpointError, match="not a whole CLIP"):
        load_clip(tmp_path / "part.pt")


@pytest.mark.parametrize(
    ("section", "name", "value", "told"),
    [
        ("text_config", "layer_norm_eps", 1e-6, "layer_norm_eps is 1e-06"),
        ("vision_config", "num_channels", 4, "num_channels is 4"),
        ("vision_config", "hidden_act", "relu", "activation is quick_gelu or gelu"),
        ("text_config", "num_hidden_layers", 10**9, "no more than"),
        ("text_config", "hidden_size", 33, "width 33 is a multiple of num_heads 4"),
        (
            "vision_config",
            "image_size",
            48,
            r"position_embedding.weight: \(10,24\) instead of \(37,24\)",
        ),
        ("text_config", "hidden_size", "wide", "hidden_size is 'wide', not a whole number"),
    ],
)
def test_config_json_of_another_model(tmp_path, square, section, name, value, told):
    save_clip(tmp_path, square)
    description = json.loads((tmp_path / "config.json").read_text())
    description[section][name] = value
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=told):
        load_clip(tmp_path)


def test_one_kind_of_weights_for_another(tmp_path, square, theirs):
    save_clip(tmp_path / "clip", square)
    torch.save(openai_state(theirs), tmp_path / "clip.pt")
    for path in (tmp_path / "clip", tmp_path / "clip.pt", tmp_path / "clip" / "model.safetensors"):
        with pytest.raises(
            CheckpointError, match=r"holds a CLIP, not a Segment Anything: .* --clip"
        ):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match="holds a Segment Anything, not a CLIP"):
        load_clip("default")
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="holds another model, not a CLIP"):
        load_clip(tmp_path / "other.pt")


def test_what_cannot_be_written(tmp_path):
    model = ClipModel(SMALL, init_clip(SMALL))
    with pytest.raises(InputError, match="square images, not 24 x 40 pixels"):
        save_clip(tmp_path / "clip", model)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        save_clip(tmp_path / "file", model)
    assert name_clip(CLIP_VIT_L_14_336) == "CLIP ViT-L/14@336px"


def test_words_that_are_few_stay_so(square, tmp_path):
    words, merges = square.tokeniser.words, square.tokeniser.merges
    few = ClipTokeniser(words, merges, context=12, known=["red", "circle"])
    save_clip(tmp_path / "clip", square.replace(tokeniser=few))
    read = load_clip(tmp_path / "clip").tokeniser
    assert read.known == ("red", "circle")
    np.testing.assert_array_equal(read(["Red circle!"]), few(["Red circle!"]))
    with pytest.raises(InputError, match=r"'wheel' is none of the few words .*\(red, circle\)"):
        read(["red wheel"])
    path = tmp_path / "clip" / "tokenizer_config.json"
    path.write_text(json.dumps({"known_words": "red circle"}))
    with pytest.raises(CheckpointError, match="known_words is no list of words"):
        load_clip(tmp_path / "clip")
