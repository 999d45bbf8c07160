"""Data files: parsed, split in fixed ways, and refused by name when they are not the published ones."""

import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pooch
import pytest

from experiments.common import data
from experiments.common.errors import RefusedError


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """A folder with a data set of the published form in which image i of a set has the brightness i % 251."""
    folder, files = tmp_path / "mnist", []
    folder.mkdir()
    for size, (images, labels) in zip((10004, 3), (data.FILES["mnist"][:2], data.FILES["mnist"][2:]), strict=True):
        numbers = np.arange(size)
        for (name, _), array in ((images, (numbers % 251).reshape(-1, 1, 1)), (labels, numbers % 10)):
            (folder / name).write_bytes(idx(array))
            files.append((name, "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest()))
    monkeypatch.setitem(data.FILES, "mnist", tuple(files))
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    return folder


def test_reads_an_idx_file(tmp_path):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    (tmp_path / "x.gz").write_bytes(idx(array))
    np.testing.assert_array_equal(data.read_array(tmp_path / "x.gz"), array)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(idx(np.arange(1000))[:-20], id="cut gzip stream"),
        pytest.param(gzip.compress(gzip.decompress(idx(np.arange(100)))[:-1]), id="one byte short"),
        pytest.param(gzip.compress(gzip.decompress(idx(np.arange(100))) + b"0"), id="one byte too many"),
        pytest.param(gzip.compress(b"\0\0"), id="cut header"),
        pytest.param(gzip.compress(struct.pack(">HBBI", 0, 9, 1, 1) + b"0"), id="signed bytes"),
        pytest.param(b"not compressed", id="not gzip"),
        pytest.param(b"", id="empty"),
    ],
)
def test_refuses_a_damaged_idx_file_by_name(tmp_path, content):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(RefusedError, match=r"images\.gz is damaged"):
        data.read_array(tmp_path / "images.gz")


def test_reads_an_npz_file_and_refuses_a_damaged_one(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, np.arange(5))
    np.testing.assert_array_equal(data.read_array(path), np.arange(5))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RefusedError, match=r"x\.npz is damaged"):
        data.read_array(path)


def test_digits_splits_are_disjoint_complete_and_stratified():
    splits = [data.load("digits", split) for split in data.SPLITS]
    pictures = np.concatenate([split.images.reshape(-1, 64) for split in splits])
    assert len(pictures) == len(np.unique(pictures, axis=0)) == 1797
    shares = np.stack([np.bincount(split.labels, minlength=10) for split in splits])
    np.testing.assert_allclose(shares / shares.sum(0), np.tile([[0.6], [0.2], [0.2]], 10), atol=0.01)
    assert pictures.min() == 0
    assert pictures.max() == 1


def test_last_ten_thousand_training_images_are_for_validation(tiny_mnist):
    for split, numbers in (("train", range(4)), ("validation", range(4, 10004)), ("test", range(3))):
        examples = data.load("mnist", split)
        np.testing.assert_allclose(examples.images[:, 0, 0] * 255, np.array(numbers) % 251, atol=1e-4)
        np.testing.assert_array_equal(examples.labels, np.array(numbers) % 10)
        assert (examples.images.dtype, examples.labels.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("position", [0, 1])
def test_refuses_a_file_that_is_not_the_published_one_by_name(tiny_mnist, position):
    path = tiny_mnist / data.FILES["mnist"][position][0]
    path.write_bytes(idx(np.zeros((10004, 1, 1) if position == 0 else 10004)))
    with pytest.raises(RefusedError, match=f"{path} is damaged: its sha256 sum"):
        data.load("mnist", "train")


def test_names_the_training_images_of_kmnist_where_they_are_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    with pytest.raises(RefusedError, match=r"no file .*kmnist/train-images-idx3-ubyte\.gz"):
        data.load("kmnist", "train")


def test_provides_the_test_set_of_notmnist_alone(tmp_path, monkeypatch):
    folder, names = tmp_path / "notmnist", ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    folder.mkdir()
    for name, array in zip(names, (np.full((3, 1, 1), 51), np.arange(3)), strict=True):
        (folder / name).write_bytes(idx(array))
    sums = ["sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    monkeypatch.setitem(data.FILES, "notmnist", tuple(zip(names, sums, strict=True)))
    monkeypatch.setenv("JAXDROP_DATA", str(tmp_path))
    images, labels = data.load("notmnist", "test")
    np.testing.assert_allclose(images, np.full((3, 1, 1), 0.2))
    np.testing.assert_array_equal(labels, np.arange(3))
    with pytest.raises(RefusedError, match="no checksums of the training set of notmnist"):
        data.load("notmnist", "train")


def test_downloads_what_is_not_there_once_and_refuses_a_damaged_download(tiny_mnist, tmp_path, monkeypatch):
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requested.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tiny_mnist))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.delenv("JAXDROP_DATA")
        monkeypatch.setitem(data.URLS, "mnist", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")
        assert len(data.load("mnist", "test").labels) == len(data.load("mnist", "test").labels) == 3
        assert len(requested) == 2
        name = data.FILES["mnist"][0][0]
        (tiny_mnist / name).write_bytes(b"damaged")
        with pytest.raises(RefusedError, match=f"{name} could not be downloaded intact"):
            data.load("mnist", "train")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_refuses_unknown_names():
    with pytest.raises(ValueError, match="got 'imagenet' and 'test'"):
        data.load("imagenet", "test")
    with pytest.raises(ValueError, match="got 'digits' and 'all'"):
        data.load("digits", "all")
