"""Command lines drawn at random: mostly well formed, with hostile values in one place or several."""

import random
from pathlib import Path

from tests.fuzz.world import NOT_UTF8

LONG = "x" * 300

PHOTOS = [
    *(f"photos/{name}" for name in ("a.png", "b.jpg", "c.webp", "d.bmp", "e.tif", "ümläut.png")),
    f"photos/{NOT_UTF8}",
    *(f"odd/{name}" for name in ("grey.png", "alpha.png", "sixteen.png", "nan.tif", "pixel.png")),
    *(f"odd/{name}" for name in ("line.png", "short.png", "tail.tif", "empty.jpg", "text.jpg")),
    *(f"odd/{name}" for name in ("folder.jpg", "pipe.jpg", "zero.png", "dangling.png")),
    *("none.png", "photos", "/dev/null", "/dev/zero", f"{LONG}.png", "", f"a/{LONG}/b.png"),
]
FOLDERS = ["photos", "odd", "loop", "empty", "file", "none", "sa1b", "labelled", LONG, ".", "coco"]
WEIGHTS = [
    *(f"{name}.safetensors" for name in ("infinite", "text", "list", "nested", "zero", "unknown")),
    *("nan.safetensors", "short.safetensors", "short.pth", "good.pth", "none.pth", "file", "empty"),
    *("hf_empty", "hf_types", "hf_infinite", "hf_text", "hf_index", "odd/pipe.jpg", LONG),
    *("photos/a.png", "coco/good.json", "/dev/zero", ""),
]
DATA = [
    *(
        "labelled",
        "damaged",
        "edges",
        "sa1b",
        "photos",
        "odd",
        "loop",
        "empty",
        "file",
        "none",
        LONG,
    ),
    *(
        f"coco/{name}.json"
        for name in ("good", "nan", "huge", "odd", "text", "list", "lists", "deep")
    ),
    *("synthetic:0", "synthetic:x", "synthetic:-1", "coco", "", "odd/pipe.jpg"),
]
NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "nan",
    "inf",
    "-inf",
    "1e30",
    "99999999999999999999",
    "x",
    "",
    "0.5",
]
SETTINGS = {
    "generate": [
        "--pred-iou-thresh",
        "--stability-score-thresh",
        "--stability-score-offset",
        "--box-nms-thresh",
        "--crop-n-layers",
        "--crop-nms-thresh",
        "--crop-overlap-ratio",
        "--crop-n-points-downscale-factor",
        "--min-mask-region-area",
        "--max-area-share",
        "--points-per-batch",
        "--images-per-batch",
        "--points-per-side",
    ],
    "points": ["--clicks", "--images", "--pictures", "--masks-per-image", "--min-area", "--seed"],
    "edges": ["--images", "--pictures", "--points-per-side"],
    "proposals": ["--images", "--pictures", "--points-per-side"],
    "instances": ["--images", "--pictures"],
    "finetune": [
        "--steps",
        "--rate",
        "--batch-size",
        "--masks",
        "--iterations",
        "--hold-back",
        "--seed",
        "--max-seconds",
        "--image-size",
    ],
    "detect": ["--steps", "--rate", "--batch-size", "--hold-back", "--enlargements", "--seed"],
}
DATABASES = [
    *(
        "work.sqlite",
        "work.sqlite",
        "work.sqlite",
        "no_photos.sqlite",
        "newer.sqlite",
        "other.sqlite",
    ),
    *("photos/a.png", "file", "empty", "none.sqlite", "odd/pipe.jpg", "/dev/zero", LONG, ""),
    *(
        "sqlite:///work.sqlite",
        "sqlite://",
        "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "x://y",
    ),
]
PHRASES = [
    "red circle",
    "a wheel",
    "",
    " ",
    LONG,
    "\u0440\u044b\u0431\u0430",
    "\U0001f600",
    NOT_UTF8,
    "-1",
]
OUTPUTS = ["file", "file/below", "/proc/none", LONG, "/dev/full", "results_list", "results_text"]
OUTPUTS += ["results_bytes", "results_infinite", "photos"]


def draw_command(rng: random.Random, out: Path) -> list[str]:
    """A command line, to be run in the folder of the world.

    Args:
        rng: Source of all choices.
        out: Folder for results, which does not exist.
    """
    kind = rng.choices(list(DRAWERS), [5, 5, 3, 2, 1, 1, 3, 1, 1, 1, 3, 1])[0]
    command = DRAWERS[kind](rng, _output(rng, out))
    if rng.random() < 0.05:
        command.insert(rng.randrange(len(command) + 1), rng.choice(["--bogus", "", LONG, "--help"]))
    if rng.random() < 0.03:
        del command[rng.randrange(len(command))]
    return command


def _output(rng: random.Random, out: Path) -> str:
    return rng.choice(OUTPUTS) if rng.random() < 0.15 else str(out)


def _weights(rng: random.Random) -> list[str]:
    return ["--checkpoint", rng.choice(WEIGHTS) if rng.random() < 0.25 else "good.safetensors"]


def _numbers(rng: random.Random, kind: str, most: int = 2) -> list[str]:
    words = []
    for option in rng.sample(SETTINGS[kind], rng.randint(0, min(most, len(SETTINGS[kind])))):
        words += [option, rng.choice(NUMBERS)]
    return words


def _coordinates(rng: random.Random, count: int) -> str:
    values = [str(rng.randint(0, 23)) for _ in range(count)]
    if count == 4:
        values[2:] = [str(rng.randint(24, 36)), "24"]
    if rng.random() < 0.2:
        odd = [*NUMBERS, "3e38", "-5", "1e308", " 4", "\uff14"]
        values[rng.randrange(count)] = rng.choice(odd)
    if rng.random() < 0.05:
        values.pop()
    return ",".join(values)


def _predict(rng: random.Random, out: str) -> list[str]:
    command = ["predict", rng.choice(PHOTOS) if rng.random() < 0.5 else "photos/a.png"]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3])):
        option, count = rng.choice([("--point", 2), ("--negative", 2), ("--box", 4)])
        command += [option, _coordinates(rng, count)]
    if rng.random() < 0.2:
        command += ["--mask", rng.choice(["mask.png", "other_size.png", *PHOTOS])]
    if rng.random() < 0.2:
        command += [rng.choice(["--multimask", "--single"])]
    return [*command, *_phrases(rng), *_weights(rng), "--output", out]


def _phrases(rng: random.Random) -> list[str]:
    words = []
    if rng.random() < 0.1:
        for _ in range(rng.choice([1, 1, 2])):
            words += ["--text", rng.choice(PHRASES)]
        if rng.random() < 0.5:
            words += ["--clip", rng.choice([*WEIGHTS, *FOLDERS])]
        if rng.random() < 0.3:
            words += ["--text-threshold", rng.choice(NUMBERS)]
    return words


def _generate(rng: random.Random, out: str) -> list[str]:
    place = rng.choice([*FOLDERS, *PHOTOS]) if rng.random() < 0.6 else "photos/a.png"
    command = ["generate", place, "--points-per-side", rng.choice(["1", "2", "3"])]
    command += rng.sample(["--overlay", "--coco", "--png"], rng.randint(0, 3))
    if rng.random() < 0.5:
        command += ["--pred-iou-thresh", "0", "--stability-score-thresh", "0"]
    numbers = _numbers(rng, "generate") if rng.random() < 0.5 else []
    return [*command, *numbers, *_phrases(rng), *_weights(rng), "--output", out]


def _evaluate(rng: random.Random, out: str) -> list[str]:
    kind = rng.choice(["points", "edges", "proposals", "instances"])
    good = {"edges": "edges", "instances": "coco/good.json"}.get(kind, "labelled")
    place = rng.choice([good, rng.choice(DATA)])
    if kind in ("points", "proposals"):
        part = rng.choice(["@2", "@x", "@0", "@9:1"]) if rng.random() < 0.2 else ""
        place = f"{'A=' if rng.random() < 0.9 else ''}{place}{part}"
    methods = {
        "points": ["disc", "otsu", "sam", "felzenszwalb"],
        "edges": ["sobel", "canny", "sam"],
        "proposals": ["felzenszwalb", "sam", "sam-single"],
        "instances": [],
    }[kind]
    if rng.random() < 0.1:
        methods = ["magic", "", *methods]
    command = ["evaluate", kind, place]
    if methods:
        command += ["--methods", ",".join(rng.sample(methods, rng.choice([1, 1, 2])))]
    if kind == "points":
        command += ["--clicks", "1", "--no-noc"]
    if kind in ("edges", "proposals"):
        command += ["--points-per-side", "2"]
    if kind == "instances" and rng.random() < 0.5:
        boxes = ("boxes", "nan", "huge", "text")
        command += ["--boxes", rng.choice([f"coco/detections_{b}.json" for b in boxes] + DATA)]
    numbers = _numbers(rng, kind, 1) if rng.random() < 0.4 else []
    return [*command, *numbers, *_weights(rng), "--output", out]


def _finetune(rng: random.Random, out: str) -> list[str]:
    place = rng.choice(["labelled", rng.choice(DATA)])
    command = ["finetune", place, "--masks", "1", "--iterations", "1", "--batch-size", "1"]
    numbers = _numbers(rng, "finetune") if rng.random() < 0.5 else []
    seconds = rng.choice(["0", "0", "0", "nan", "-1"])
    command += [*numbers, *_weights(rng)]
    return [*command, "--max-seconds", seconds, "--output", out]


def _train(rng: random.Random, out: str) -> list[str]:
    config = rng.choice(["debugg", "none.py", "file", "", LONG, "odd/pipe.jpg", "odd/text.jpg.py"])
    return ["train", config, "--max-seconds", "0", "--output", out]


def _dataset(rng: random.Random, out: str) -> list[str]:
    return ["dataset", "build", rng.choice([*FOLDERS, *DATA]), "--output", out]


def _convert(rng: random.Random, out: str) -> list[str]:
    ending = rng.choice([".safetensors", ".pth", ".bin", ""])
    source = rng.choice([*WEIGHTS, "good.safetensors", "good.safetensors"])
    command = ["convert", source, f"{out}{ending}"]
    if rng.random() < 0.5:
        size = rng.choice([*NUMBERS, "32", "48,64", "16,", "1,2,3", "33", "32,nan"])
        command += ["--image-size", size]
    if rng.random() < 0.3:
        command += ["--dtype", rng.choice(["float16", "bfloat16", "int8"])]
    return command


def _export(rng: random.Random, out: str) -> list[str]:
    ending = rng.choice([".onnx", ".stablehlo", ".tflite", ""])
    source = rng.choice([*WEIGHTS, "good.safetensors", "good.safetensors"])
    command = ["export", source, f"{out}{ending}"]
    for option, values in (
        ("--part", ["encoder", "both", "head"]),
        ("--masks", ["multi", "single", ""]),
        ("--outputs", ["low", "cvat"]),
        ("--dtype", ["float16", "bfloat16"]),
        ("--image-size", [*NUMBERS, "32", "48,64", "33"]),
    ):
        if rng.random() < 0.3:
            command += [option, rng.choice(values)]
    return command + rng.sample(["--raw", "--quantise"], rng.choice([0, 0, 1, 2]))


def _info(rng: random.Random, out: str) -> list[str]:
    return ["info", *rng.sample([*WEIGHTS, "good.safetensors"], rng.randint(0, 1))]


def _download(rng: random.Random, out: str) -> list[str]:
    return ["download", rng.choice(["vit_x", "", "tiny"]), "--output", out]


def _annotate(rng: random.Random, out: str) -> list[str]:
    """What ends by itself; serving is tested elsewhere."""
    photos = rng.choice(["labelled/images", "labelled/images", *FOLDERS])
    command = ["annotate", photos, "--database", rng.choice(DATABASES)]
    return command + rng.choice(
        [
            ["--import", rng.choice(["labelled", *DATA])],
            ["--export", out, "--form", rng.choice(["sa1b", "coco", "labels"])],
            ["--backup", rng.choice([f"{out}.sqlite", "file", LONG])],
        ]
    )


def _engine(rng: random.Random, out: str) -> list[str]:
    step = rng.choice(["status", "use", "train", "detect", "prefill", "generate", "check"])
    database = rng.choice(DATABASES) if rng.random() < 0.5 else "work.sqlite"
    command = ["engine", step, database]
    if step == "use":
        command += [rng.choice(["0", "0", *NUMBERS])]
    elif step == "status":
        command += ["--by-hand", rng.choice(NUMBERS)] if rng.random() < 0.3 else []
    elif step == "check":
        command += ["--sample", rng.choice(NUMBERS)] if rng.random() < 0.7 else []
    elif step == "generate":
        command += [*_weights(rng), "--points-per-side", rng.choice(["1", "2", *NUMBERS])]
        command += ["--output", out] if rng.random() < 0.3 else []
        command += _numbers(rng, "generate") if rng.random() < 0.3 else []
    elif step == "prefill":
        photos = rng.choice(["labelled/images", *FOLDERS])
        command = ["engine", step, photos, "--database", database, *_weights(rng)]
        command += ["--detector", rng.choice(WEIGHTS)]
    else:
        name = "detect" if step == "detect" else "finetune"
        allowed = [option for option in SETTINGS[name] if option != "--max-seconds"]
        if rng.random() < 0.5:
            command += [rng.choice(allowed), rng.choice(NUMBERS)]
        command += [*_weights(rng), "--max-seconds", rng.choice(["0", "0", "0", "nan", "-1"])]
        command += ["--output", out] if step == "detect" else []
    return command


DRAWERS = {
    "predict": _predict,
    "generate": _generate,
    "evaluate": _evaluate,
    "finetune": _finetune,
    "train": _train,
    "dataset": _dataset,
    "convert": _convert,
    "export": _export,
    "info": _info,
    "download": _download,
    "engine": _engine,
    "annotate": _annotate,
}
