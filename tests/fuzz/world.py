"""A folder of everything that commands and calls are tried on: good, damaged, odd and hostile, all of it small."""

import contextlib
import json
import os
import sqlite3
import struct
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from sam_jax.checkpoints import save_checkpoint
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.masks_in import import_masks
from sam_jax.data_engine.workplace import register_photos
from sam_jax.models import (
    ImageEncoderConfig,
    MaskDecoderConfig,
    PromptEncoderConfig,
    SamConfig,
    abstract_variables,
)
from sam_jax.ops.rle import encode_rle

MODEL = SamConfig(
    image_encoder=ImageEncoderConfig(
        image_size=(32, 32),
        width=16,
        depth=1,
        num_heads=2,
        window_size=2,
        global_blocks=(),
        out_channels=16,
    ),
    prompt_encoder=PromptEncoderConfig(width=16),
    mask_decoder=MaskDecoderConfig(
        width=16, depth=1, num_heads=2, mlp_width=32, iou_head_depth=2, iou_head_width=16
    ),
)
SIZE = (24, 36)
"""Height and width of the photos."""

NOT_UTF8 = os.fsdecode(b"caf\xe9.png")


def make_world(folder: Path) -> None:
    """Fill a folder; what lies where is known to `the commands`."""
    rng = np.random.default_rng(0)
    _make_weights(folder, rng)
    _make_photos(folder, rng)
    _make_data_sets(folder, rng)
    _make_results(folder)
    _make_databases(folder)


def _make_weights(folder: Path, rng: np.random.Generator) -> None:
    variables = jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), abstract_variables(MODEL)
    )
    good = folder / "good.safetensors"
    save_checkpoint(good, MODEL, variables)
    save_checkpoint(folder / "good.pth", MODEL, variables)
    content = good.read_bytes()
    (folder / "short.safetensors").write_bytes(content[:-100])
    (folder / "short.pth").write_bytes((folder / "good.pth").read_bytes()[:2000])
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    damages = {
        "infinite": config | {"image_encoder": config["image_encoder"] | {"mlp_ratio": np.inf}},
        "text": "text",
        "list": [1, 2],
        "nested": config | {"image_encoder": {"image_size": "32"}},
        "zero": config | {"image_encoder": config["image_encoder"] | {"num_heads": 0}},
        "unknown": config | {"colour": 3},
        "nan": config | {"automatic": {"pred_iou_thresh": np.nan}},
    }
    for name, damaged in damages.items():
        header["__metadata__"]["config"] = json.dumps(damaged)
        encoded = json.dumps(header).encode()
        (folder / f"{name}.safetensors").write_bytes(
            struct.pack("<Q", len(encoded)) + encoded + content[8 + length :]
        )
    for name, document in {
        "hf_empty": {},
        "hf_types": {"model_type": "sam", "vision_config": [1], "mask_decoder_config": "x"},
        "hf_infinite": {"model_type": "sam", "vision_config": {"num_attention_heads": np.inf}},
        "hf_text": {"model_type": "sam", "vision_config": {"image_size": "many"}},
    }.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(document))
        (folder / name / "model.safetensors").write_bytes(content)
    (folder / "hf_index").mkdir()
    (folder / "hf_index" / "config.json").write_text('{"model_type": "sam"}')
    (folder / "hf_index" / "model.safetensors.index.json").write_text('{"weight_map": [3]}')


def _make_photos(folder: Path, rng: np.random.Generator) -> None:
    photos = folder / "photos"
    photos.mkdir()
    pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    pixels[4:16, 6:20] = 250
    photo = Image.fromarray(pixels)
    for name in ("a.png", "b.jpg", "c.webp", "d.bmp", "e.tif", NOT_UTF8, "ümläut.png"):
        photo.save(photos / name)
    odd = folder / "odd"
    odd.mkdir()
    photo.convert("L").save(odd / "grey.png")
    photo.convert("RGBA").save(odd / "alpha.png")
    Image.fromarray(rng.integers(0, 65536, SIZE, dtype=np.uint16)).save(odd / "sixteen.png")
    Image.fromarray(np.full(SIZE, np.nan, np.float32)).save(odd / "nan.tif")
    Image.new("RGB", (1, 1)).save(odd / "pixel.png")
    Image.new("RGB", (400, 1)).save(odd / "line.png")
    encoded = (photos / "a.png").read_bytes()
    (odd / "short.png").write_bytes(encoded[: len(encoded) // 2])
    (odd / "tail.tif").write_bytes((photos / "e.tif").read_bytes()[:-40])
    (odd / "empty.jpg").touch()
    (odd / "text.jpg").write_text("no photo")
    (odd / "folder.jpg").mkdir()
    os.mkfifo(odd / "pipe.jpg")
    os.symlink("/dev/zero", odd / "zero.png")
    os.symlink("nowhere.png", odd / "dangling.png")
    mask = np.zeros(SIZE, np.uint8)
    mask[4:16, 6:20] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask[:5]).save(folder / "other_size.png")
    (folder / "empty").mkdir()
    loop = folder / "loop"
    loop.mkdir()
    photo.save(loop / "a.png")
    for name in ("one", "two"):
        os.symlink(loop, loop / name)
    (folder / "file").touch()


def _make_data_sets(folder: Path, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 90, (*SIZE, 3), dtype=np.uint8)
    labels = np.zeros(SIZE, np.uint8)
    labels[3:12, 5:16], labels[14:22, 20:34] = 1, 2
    pixels[labels > 0] += 120
    for name in ("images", "labels"):
        (folder / "labelled" / name).mkdir(parents=True)
    for number in range(3):
        Image.fromarray(pixels).save(folder / "labelled" / "images" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labelled" / "labels" / f"{number}.png")
    damaged = folder / "damaged"
    for name in ("images", "labels"):
        (damaged / name).mkdir(parents=True)
    Image.fromarray(pixels).save(damaged / "images" / "0.png")
    np.save(damaged / "labels" / "0.npy", np.zeros((2, 3, 4, 5)))
    Image.fromarray(pixels).save(damaged / "images" / "1.png")
    Image.fromarray(labels[:7]).save(damaged / "labels" / "1.png")
    edges = folder / "edges"
    for name in ("images", "ground_truth"):
        (edges / name).mkdir(parents=True)
    truths = {
        "0": {
            "boundaries": np.zeros((2, *SIZE), bool),
            "segmentations": np.stack([labels + 1] * 2),
        },
        "1": {"boundaries": np.zeros(SIZE, bool), "segmentations": labels},
        "2": {"boundaries": np.zeros((1, 3, 3), bool)},
    }
    for name, arrays in truths.items():
        Image.fromarray(pixels).save(edges / "images" / f"{name}.jpg")
        np.savez(edges / "ground_truth" / f"{name}.npz", **arrays)
    sa1b = folder / "sa1b"
    sa1b.mkdir()
    documents = {
        "good": {
            "annotations": [
                {"segmentation": encode_rle(labels == k, compress=True)} for k in (1, 2)
            ]
        },
        "runs": {"annotations": [{"segmentation": {"size": [24, 36], "counts": [1 << 70]}}]},
        "infinite": {"annotations": [{"segmentation": {"size": [24, np.inf], "counts": "0"}}]},
        "types": {"annotations": {"a": 3}},
        "none": None,
    }
    for name, document in documents.items():
        Image.fromarray(pixels).save(sa1b / f"{name}.png")
        (sa1b / f"{name}.json").write_text(json.dumps(document))
    Image.fromarray(pixels).save(sa1b / "deep.png")
    (sa1b / "deep.json").write_text("[" * 100_000)
    coco = folder / "coco"
    coco.mkdir()
    Image.fromarray(pixels).save(coco / "0.png")
    box = [5, 3, 11, 9]
    corners = [5, 3, 16, 3, 16, 12, 5, 12]
    image = {"id": 1, "file_name": "0.png", "height": SIZE[0], "width": SIZE[1]}
    instance = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 99, "bbox": box}
    category = {"id": 1, "name": "thing"}
    variants = {
        "good": [corners],
        "nan": [[np.nan, *corners[1:]]],
        "huge": [[1e38, *corners[1:]]],
        "odd": [corners[:5]],
        "text": "x",
    }
    for name, segmentation in variants.items():
        document = {
            "images": [image],
            "annotations": [instance | {"segmentation": segmentation}],
            "categories": [category],
        }
        (coco / f"{name}.json").write_text(json.dumps(document))
    (coco / "list.json").write_text("[]")
    (coco / "lists.json").write_text('{"images": [3], "annotations": 4, "categories": null}')
    (coco / "deep.json").write_text("[" * 100_000)
    result = {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}
    for name, change in {
        "boxes": {},
        "nan": {"bbox": [np.nan] * 4},
        "huge": {"bbox": [0, 0, 3e38, 3e38]},
        "text": {"bbox": "x", "score": "y"},
    }.items():
        (coco / f"detections_{name}.json").write_text(json.dumps([result | change]))


def _make_databases(folder: Path) -> None:
    """A database of photos with masks, and such as are none, or not this program's."""
    work = Database(folder / "work.sqlite")
    register_photos(work, folder / "labelled" / "images")
    import_masks(work, folder / "labelled" / "images", folder / "labelled")
    work.close()
    Database(folder / "no_photos.sqlite").close()
    for name, statements in {
        "newer": (
            "CREATE TABLE alembic_version (version_num)",
            "INSERT INTO alembic_version VALUES ('9')",
        ),
        "other": ("CREATE TABLE masks (a)", "CREATE TABLE photos (b)"),
    }.items():
        with contextlib.closing(sqlite3.connect(folder / f"{name}.sqlite")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()


def _make_results(folder: Path) -> None:
    """Folders of earlier results that somebody has damaged."""
    for name, text in {
        "results_list": "[]",
        "results_text": "{",
        "results_bytes": "\udcff",
        "results_infinite": '{"photos": Infinity}',
    }.items():
        (folder / name / "sa1b").mkdir(parents=True)
        for file in ("settings.json", "results.json", "config.json", "sa1b/a.json"):
            (folder / name / file).write_bytes(text.encode(errors="surrogateescape"))
