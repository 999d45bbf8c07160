"""Pictures with class labels, in fixed splits, from the files that their publishers provide.

Files are read from the sub-folders `mnist`, `fashion_mnist` and `kmnist` of the folder that the environment variable
JAXDROP_DATA names; without it they are downloaded once from their publishers. Either way each file is compared with
its published checksum. scikit-learn's digits come with that package.
"""

import gzip
import hashlib
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pooch
import sklearn.datasets

from experiments.common.errors import RefusedError

SPLITS = ("train", "validation", "test")

URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "kmnist": "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
}

# Per data set: images and labels of the published training set, then of the test set.
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
}

DATASETS = ("digits", *FILES)


class Examples(NamedTuple):
    """Pictures and their classes.

    Attributes:
      images: Brightness from 0 to 1, (examples, height, width), float32.
      labels: Classes, (examples,), int32.
    """

    images: np.ndarray
    labels: np.ndarray


def load(name: str, split: str) -> Examples:
    """Loads one split of a data set.

    digits: of the images of each class, in scikit-learn's order, the fourth of every five is for validation, the
    fifth for the test. The same 13 people wrote images of all three splits, so scores are higher than for new writers.
    mnist, fashion_mnist, kmnist: the last 10000 training images are for validation, the test set is the published one.

    Args:
      name: One of `DATASETS`.
      split: One of `SPLITS`.

    Returns:
      The examples, in a fixed order.

    Raises:
      RefusedError: If a file is missing, not to be had, or not the published one; the message names it.
    """
    if name not in DATASETS or split not in SPLITS:
        raise ValueError(f"name must be one of {DATASETS} and split one of {SPLITS}, got {name!r} and {split!r}")
    if name == "digits":
        return _digits(split)
    files = FILES[name][2:] if split == "test" else FILES[name][:2]
    images, labels = (read_array(_fetch(name, *file)) for file in files)
    if split != "test":
        part = slice(-10000, None) if split == "validation" else slice(-10000)
        images, labels = images[part], labels[part]
    return Examples(images.astype(np.float32) / 255, labels.astype(np.int32))


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


def _fetch(dataset: str, name: str, checksum: str) -> Path:
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
