"""CIFAR-10 is read as published and as JPEG, and refused by name when it is not what is known."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from experiments.common import cifar10, data
from experiments.common.errors import RefusedError

pytestmark = pytest.mark.thorough


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    monkeypatch.setattr(cifar10, "NUM_VALIDATION", 3)
    (tmp_path / "cifar10").mkdir()
    return tmp_path / "cifar10"


def batch(labels):
    """Records as published: a class, then the red, green and blue planes, row by row."""
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    planes = np.stack([rows, columns, np.full((32, 32), 200)]).astype(np.uint8).reshape(-1)
    return b"".join(bytes([label]) + planes.tobytes() for label in labels)


def archive(folder, monkeypatch, batches):
    path = folder / cifar10.ARCHIVE[0]
    with tarfile.open(path, "w:gz") as file:
        for name, content in batches.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    checksum = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    monkeypatch.setattr(cifar10, "ARCHIVE", (path.name, checksum))


def test_reads_the_published_records_in_order(folder, monkeypatch):
    batches = {f"data_batch_{number}": batch([number, 9 - number]) for number in range(1, 6)}
    archive(folder, monkeypatch, {"test_batch": batch([7, 8]), **batches})
    train, validation, test = (cifar10.load("cifar10", split) for split in data.SPLITS)
    np.testing.assert_array_equal(train.labels, [1, 8, 2, 7, 3, 6, 4])
    np.testing.assert_array_equal(validation.labels, [5, 5, 4])
    np.testing.assert_array_equal(test.labels, [7, 8])
    assert (test.images.shape, test.images.dtype, test.labels.dtype) == ((2, 32, 32, 3), np.uint8, np.int32)
    np.testing.assert_array_equal(test.images[0, 5, 20], [5, 20, 200])


def test_refuses_a_damaged_archive_by_name(folder, monkeypatch):
    archive(folder, monkeypatch, {"test_batch": batch([7])[:-1]})
    with pytest.raises(RefusedError, match=r"cifar-10-binary\.tar\.gz is damaged"):
        cifar10.load("cifar10", "test")
    with pytest.raises(RefusedError, match=r"cifar-10-binary\.tar\.gz is damaged"):
        cifar10.load("cifar10", "train")
    (folder / cifar10.ARCHIVE[0]).unlink()
    with pytest.raises(
        RefusedError, match=r"no file .*tar\.gz; put https://www\.cs\.toronto\.edu/~kriz/cifar-10-binary"
    ):
        cifar10.load("cifar10", "test")


def compressed(colour):
    stream = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def test_reads_compressed_pictures_in_order(folder, monkeypatch):
    colours = [(200, 30, 40), (20, 180, 60), (10, 90, 250), (128, 128, 128), (250, 250, 5)]
    files = [compressed(colour) for colour in colours]
    arrays = {}
    for part in ("train", "test"):
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"len_{part}"] = np.array([len(file) for file in files], np.uint16)
        arrays[f"y_{part}"] = np.arange(5, dtype=np.uint8)
    path = folder / cifar10.JPEG[0]
    np.savez(path, **arrays)
    with pytest.raises(RefusedError, match=r"cifar10_jpeg\.npz is damaged: its sha256 sum is not"):
        cifar10.load("cifar10_jpeg", "test")
    monkeypatch.setattr(cifar10, "JPEG", (path.name, hashlib.sha256(path.read_bytes()).hexdigest()))
    pictures = [cifar10.load("cifar10_jpeg", split) for split in data.SPLITS]
    assert [list(part.labels) for part in pictures] == [[0, 1], [2, 3, 4], [0, 1, 2, 3, 4]]
    expected = np.broadcast_to(np.array(colours)[:, None, None], (5, 32, 32, 3))
    np.testing.assert_allclose(pictures[2].images.astype(int), expected, atol=4)  # what JPEG loses of one colour


def test_says_what_to_do_without_compressed_pictures(folder, monkeypatch):
    with pytest.raises(
        RefusedError, match=r"no file .*cifar10_jpeg\.npz.*--config\.dataset=cifar10 takes the original"
    ):
        cifar10.load("cifar10_jpeg", "test")
    monkeypatch.delenv("JAXDROP_DATA")
    with pytest.raises(RefusedError, match=r"--config\.dataset=cifar10 takes the original"):
        cifar10.load("cifar10_jpeg", "test")


def test_refuses_unknown_names():
    with pytest.raises(ValueError, match="got 'cifar100' and 'test'"):
        cifar10.load("cifar100", "test")
