import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from sam_jax.data.bsds500 import Bsds500Boundaries, Bsds500Folder
from sam_jax.data.example import RecordError
from sam_jax.data.sources import open_boundaries
from sam_jax.types import InputError

from .conftest import HEIGHT, WIDTH, paint_photo

DIVISIONS = np.stack(
    [
        np.random.default_rng(k).integers(1, 3 + k, (HEIGHT, WIDTH)).astype(np.uint16)
        for k in range(3)
    ]
)


def write_npz(path):
    np.savez_compressed(
        path.with_suffix(".npz"), segmentations=DIVISIONS, boundaries=DIVISIONS == 2
    )


def write_mat(path):
    cells = np.empty((1, len(DIVISIONS)), object)
    for k, division in enumerate(DIVISIONS):
        cells[0, k] = {"Segmentation": division, "Boundaries": (division == 2).astype(np.uint8)}
    scipy.io.savemat(path.with_suffix(".mat"), {"groundTruth": cells})


@pytest.fixture(params=[write_npz, write_mat], ids=["npz", "mat"])
def folders(request, tmp_path):
    photos, truth = tmp_path / "images", tmp_path / "ground_truth"
    for folder in (photos / "train", truth / "train"):
        folder.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(paint_photo(i)).save(photos / "train" / f"{i}.jpg")
        request.param(truth / "train" / str(i))
    return photos, truth


def test_each_person_is_a_record(folders):
    source = Bsds500Folder(*folders)
    assert len(source) == 6
    for i in range(6):
        example = source[i]
        assert example.name == f"{folders[0] / 'train'}/{i // 3}.jpg, person {i % 3 + 1}"
        assert len(example.masks) == 2 + i % 3
        for k in range(len(example.masks)):
            np.testing.assert_array_equal(example.masks[k], DIVISIONS[i % 3] == k + 1)


def test_bad_records(folders):
    photos, truth = folders
    for path in truth.rglob("1.*"):
        path.write_bytes(path.read_bytes()[:200])
    Image.fromarray(paint_photo(2)).save(photos / "2.png")
    source = Bsds500Folder(*folders)
    with pytest.raises(RecordError, match=r"2.png: no segmentations in"):
        source[0]
    assert len(source[3].masks) == 4
    with pytest.raises(RecordError, match="holds no segmentations, or is damaged"):
        source[4]


def test_truth_of_another_size(folders):
    Image.fromarray(paint_photo(0, (WIDTH, HEIGHT))).save(folders[0] / "train" / "0.jpg")
    with pytest.raises(RecordError, match="is 44 wide and 30 high, but the photo is 30 wide"):
        Bsds500Folder(*folders)[1]


def test_boundaries_of_all_people(folders):
    source = open_boundaries(folders[0] / "train")
    assert source.names == ["0.jpg", "1.jpg"]
    name, image, boundaries = source[1]
    assert name == "1.jpg"
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(boundaries, DIVISIONS == 2)


def test_bad_boundaries(folders, tmp_path):
    photos, truth = folders
    Image.fromarray(paint_photo(2)[:-1]).save(photos / "train" / "0.jpg")
    for path in truth.rglob("1.*"):
        path.unlink()
    source = open_boundaries(photos.parent)
    with pytest.raises(RecordError, match=f"is {WIDTH} wide and {HEIGHT} high, but the photo"):
        source[0]
    with pytest.raises(RecordError, match=r"1.jpg: no boundaries in"):
        source[1]
    with pytest.raises(InputError, match="not in BSDS500's form"):
        open_boundaries(tmp_path.parent)
    with pytest.raises(InputError, match="no such folder"):
        open_boundaries(tmp_path / "x")


def write_bomb(path, **arrays):
    """An .npz file whose arrays are zeros of the given shapes, however large."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (shape, length) in arrays.items():
            header = io.BytesIO()
            description = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, description)
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(length))


@pytest.mark.parametrize("shape", [(4, 30000, 30000), (10**12, HEIGHT, WIDTH), (2, 3), ()])
def test_truth_of_any_size_is_measured_before_it_is_unpacked(tmp_path, shape):
    for folder in ("images", "ground_truth"):
        (tmp_path / folder).mkdir()
    Image.fromarray(paint_photo(0)).save(tmp_path / "images" / "0.jpg")
    truth = tmp_path / "ground_truth" / "0.npz"
    write_bomb(truth, segmentations=(shape, 1 << 24), boundaries=(shape, 1 << 24))
    folders = tmp_path / "images", tmp_path / "ground_truth"
    source = Bsds500Folder(*folders)
    assert len(source) <= 4
    tracemalloc.start()
    with pytest.raises(RecordError, match=r"0\.npz"):
        source[0]
    with pytest.raises(RecordError, match=r"0\.npz"):
        Bsds500Boundaries(*folders)[0]
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_mat_files_that_unpack_to_much(folders):
    truth = next(iter(folders[1].rglob("0.*")))
    if truth.suffix != ".mat":
        pytest.skip("another form")
    cells = np.empty((1, 1), object)
    cells[0, 0] = {"Segmentation": np.zeros((6000, 6000), np.uint16), "Boundaries": DIVISIONS[0]}
    scipy.io.savemat(truth, {"groundTruth": cells}, do_compression=True)
    assert truth.stat().st_size < 1 << 18
    with pytest.raises(RecordError, match="unpacks to more than any truth"):
        Bsds500Folder(*folders)[0]
