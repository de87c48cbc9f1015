import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sam_jax
from sam_jax.data.augmentation import MICROGRAPHS, Augmentation
from sam_jax.data.example import Example, RecordError
from sam_jax.data.loader import PATIENCE, Ingredient, Loader, LoaderConfig, add_up_positions
from sam_jax.data.sa1b import Sa1bFolder
from sam_jax.types import InputError

FRAME = (32, 48)


class Numbered:
    """Photos whose every pixel is their number."""

    def __init__(self, length, first=0, bad=()):
        self.length, self.first, self.bad = length, first, bad

    name = "numbered"

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.bad:
            raise RecordError(f"number {index} is bad")
        image = np.full((20, 30, 3), self.first + index, np.uint8)
        masks = np.zeros((4, 20, 30), bool)
        for k in range(4):
            masks[k, 2 + 4 * k : 6 + 4 * k, 5:25] = True
        return Example(f"number {index}", image, list(masks))


def config(**changes):
    return LoaderConfig(**({"frame": FRAME, "batch_size": 4, "num_masks": 3, "seed": 1} | changes))


def load(sources, count, **options):
    sources = [
        Ingredient(source) if not isinstance(source, tuple) else source for source in sources
    ]
    process = {key: options.pop(key) for key in list(options) if key.startswith("process")}
    loader = Loader(sources, config(**options), **process)
    try:
        return list(itertools.islice(loader, count))
    finally:
        loader.close()


def numbers(batches):
    return np.concatenate([batch.images[:, 0, 0, 0] for batch in batches]).tolist()


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_batches_have_fixed_shapes(sa1b_folder):
    for batch in load([Sa1bFolder(sa1b_folder)], 3, num_masks=5):
        assert batch.images.shape == (4, 32, 48, 3)
        assert batch.images.dtype == np.uint8
        assert batch.masks.shape == (4, 5, 8, 12)
        assert batch.masks.dtype == batch.valid.dtype == np.bool_
        assert batch.fitted.dtype == np.int32
        np.testing.assert_array_equal(batch.fitted, [[32, 47]] * 4)
        assert (batch.valid.sum(axis=1) >= 1).all()
        np.testing.assert_array_equal(batch.masks.any(axis=(2, 3)), batch.valid)


def test_every_pass_has_every_record_once_in_a_new_order():
    passes = np.array(numbers(load([Numbered(12)], 9))).reshape(3, 12)
    np.testing.assert_array_equal(np.sort(passes, axis=1), [range(12)] * 3)
    assert len({tuple(order) for order in passes}) == 3


def test_masks_differ_from_pass_to_pass():
    batches = load([Numbered(4)], 6)
    of_first = {b.masks[b.images[:, 0, 0, 0] == 0].tobytes() for b in batches}
    assert len(of_first) > 1


def test_the_seed_decides(sa1b_folder):
    source = (Sa1bFolder(sa1b_folder), MICROGRAPHS, 1.0)
    ours = load([Ingredient(*source)], 3)
    assert_same(ours, load([Ingredient(*source)], 3))
    other = load([Ingredient(*source)], 3, seed=2)
    assert any((a.images != b.images).any() for a, b in zip(ours, other, strict=True))


def test_batches_are_the_same_for_any_number_of_processes():
    whole = numbers(load([Numbered(50)], 6, batch_size=6))
    parts = [
        numbers(load([Numbered(50)], 6, batch_size=2, process_index=i, process_count=3))
        for i in range(3)
    ]
    assert np.array(parts).reshape(3, 6, 2).swapaxes(0, 1).ravel().tolist() == whole


def test_other_processes_go_on_where_these_stopped():
    """First two processes, then one, then four."""
    sources = [Ingredient(Numbered(50), weight=2), Ingredient(Numbered(9, first=100))]
    whole = numbers(load(sources, 6, batch_size=4))
    drawn, position = [], None
    for count in (2, 1, 4):
        loaders = [
            Loader(sources, config(batch_size=4 // count), process_index=i, process_count=count)
            for i in range(count)
        ]
        if position is not None:
            for loader in loaders:
                loader.set_state(position)
        for _ in range(2):
            drawn += [number for loader in loaders for number in numbers([next(loader)])]
        position = add_up_positions([loader.get_state() for loader in loaders])
        for loader in loaders:
            loader.close()
    assert drawn == whole
    assert position["examples_taken"] == 24


def test_each_process_gets_every_source():
    """Equal weights alternate, and so do two processes."""
    for i in range(2):
        sources = [Numbered(10), Numbered(10, first=100)]
        drawn = np.array(numbers(load(sources, 5, process_index=i, process_count=2)))
        assert (drawn < 100).sum() == 10


def test_weights_are_shares():
    sources = [Ingredient(Numbered(7), weight=3), Ingredient(Numbered(9, first=100))]
    drawn = np.array(numbers(load(sources, 20)))
    assert (drawn < 100).sum() == 60
    assert 0 < (drawn[:8] >= 100).sum() < 8


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_goes_on_in_the_middle_of_a_pass(spoiled_folder, taken):
    sources = [
        Ingredient(Sa1bFolder(spoiled_folder[0]), MICROGRAPHS),
        Ingredient(Numbered(11), weight=0.5),
    ]
    loader = Loader(sources, config())
    for _ in range(taken):
        next(loader)
    state = json.dumps(loader.get_state())
    expected = list(itertools.islice(loader, 3))
    at_the_end = loader.get_state()

    other = Loader(sources, config())
    next(other)
    other.set_state(json.loads(state))
    assert_same(list(itertools.islice(other, 3)), expected)
    assert other.get_state() == at_the_end
    for either in (loader, other):
        either.close()
        either.close()


def test_a_closed_loader_starts_again_where_it_was():
    expected = numbers(load([Numbered(30)], 4))
    loader = Loader([Ingredient(Numbered(30))], config())
    drawn = []
    for _ in range(4):
        drawn += numbers([next(loader)])
        loader.close()
    assert drawn == expected


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"num_masks": 2}, {"frame": (32, 32)}, "length", "weight", "augmentation"],
)
def test_a_state_of_other_data_is_refused(change):
    state = Loader([Ingredient(Numbered(30))], config()).get_state()
    ingredients = {
        "length": Ingredient(Numbered(31)),
        "weight": Ingredient(Numbered(30), weight=2),
        "augmentation": Ingredient(Numbered(30), Augmentation(flip_vertically=True)),
    }
    if isinstance(change, dict):
        other = Loader([Ingredient(Numbered(30))], config(**change))
    else:
        other = Loader([ingredients[change]], config())
    with pytest.raises(InputError, match="the data have changed since this run was saved"):
        other.set_state(state)


def test_a_state_does_not_mind_who_reads_and_how_many_at_a_time():
    first = Loader([Ingredient(Numbered(30))], config())
    expected = numbers(load([Numbered(30)], 3, batch_size=4))
    next(first)
    other = Loader([Ingredient(Numbered(30))], config(batch_size=2, workers=2))
    other.set_state(first.get_state())
    assert other.get_state()["examples_taken"] == 4
    first.close()
    again = Loader([Ingredient(Numbered(30))], config(batch_size=8))
    again.set_state(first.get_state())
    assert numbers([next(again)]) == expected[4:]
    again.close()


def test_bad_records_are_replaced_counted_and_named(spoiled_folder):
    folder, messages = spoiled_folder
    loader = Loader([Ingredient(Sa1bFolder(folder))], config())
    for _ in range(9):
        batch = next(loader)
        assert batch.images.shape == (4, *FRAME, 3)
        assert batch.valid.all()
    loader.close()
    assert len(loader.skipped) == len(messages)
    for record, message in messages.items():
        matching = [line for line in loader.skipped if record in line]
        assert len(matching) == 1
        assert message in matching[0]
    assert sum(loader.skipped.values()) >= 3 * len(messages)


def test_replacements_come_from_everywhere():
    bad = range(50)
    drawn = numbers(load([Numbered(100, bad=bad)], 25))
    assert min(drawn) >= 50
    counts = np.bincount(drawn, minlength=100)[50:]
    assert (counts >= 1).all()
    assert counts.max() <= 6


def test_nothing_but_bad_records_is_an_error():
    loader = Loader([Ingredient(Numbered(5, bad=range(5)))], config())
    with pytest.raises(InputError, match=rf"{PATIENCE} records in a row .*number \d is bad"):
        next(loader)
    assert set(loader.skipped) == {f"number {i} is bad" for i in range(5)}
    loader.close()


@pytest.mark.slow
def test_worker_processes_read_the_same(spoiled_folder):
    sources = [
        Ingredient(Sa1bFolder(spoiled_folder[0]), MICROGRAPHS),
        Ingredient(Sa1bFolder(spoiled_folder[0]), weight=0.5),
    ]
    expected = Loader(sources, config())
    batches = list(itertools.islice(expected, 5))
    loader = Loader(sources, config(workers=2))
    assert_same([next(loader)], batches[:1])
    state = loader.get_state()
    assert_same(list(itertools.islice(loader, 4)), batches[1:])
    assert loader.get_state() == expected.get_state()
    loader.set_state(state)
    assert_same([next(loader)], batches[1:2])
    loader.close()
    expected.close()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
def test_worker_processes_end_with_a_killed_parent(sa1b_folder):
    code = (
        "import multiprocessing\n"
        "from pathlib import Path\n"
        "from sam_jax.data.loader import Ingredient, Loader, LoaderConfig\n"
        "from sam_jax.data.sa1b import Sa1bFolder\n"
        "config = LoaderConfig(frame=(32, 48), batch_size=4, num_masks=3, workers=2)\n"
        f"loader = Loader([Ingredient(Sa1bFolder(Path({str(sa1b_folder)!r})))], config)\n"
        "next(loader)\n"
        "print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "while True: next(loader)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(sam_jax.__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        workers = [Path("/proc", pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(worker.exists() for worker in workers)
        parent.kill()
    deadline = time.monotonic() + 20
    while any(worker.exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(worker.exists() for worker in workers)


@pytest.mark.parametrize(
    ("ingredients", "message"),
    [
        ([], "no data to train on"),
        ([Ingredient(Numbered(0))], "numbered is empty"),
        ([Ingredient(Numbered(3), weight=0)], "numbered has the weight 0"),
        ([Ingredient(Numbered(3), weight=float("nan"))], "numbered has the weight nan"),
    ],
)
def test_mixtures_that_make_no_sense(ingredients, message):
    with pytest.raises(InputError, match=message):
        Loader(ingredients, config())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size 0: give a whole number from 1"),
        ({"num_masks": -1}, "num_masks -1"),
        ({"workers": -1}, "workers -1"),
        ({"seed": -1}, "seed -1"),
        ({"frame": (30, 48)}, "frame 30x48: sides must be multiples of 4"),
        ({"frame": (0, 48)}, "frame 0x48"),
    ],
)
def test_batches_that_make_no_sense(change, message):
    with pytest.raises(InputError, match=message):
        config(**change)
