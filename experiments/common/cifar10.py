"""CIFAR-10, as published or compressed.

"cifar10" are the original pixels: the binary version, read from the sub-folder `cifar10` of the folder that the
environment variable JAXDROP_DATA names, or downloaded once. "cifar10_jpeg" are the same pictures in the same order,
compressed as JPEG, which lost some of what was in them: to try things out where nothing can be downloaded, and no
numbers to compare with published ones. It is read from that folder alone.
"""

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from experiments.common.data import SPLITS, fetch
from experiments.common.errors import RefusedError

DATASETS = ("cifar10", "cifar10_jpeg")

ARCHIVE = ("cifar-10-binary.tar.gz", "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")
JPEG = ("cifar10_jpeg.npz", "f53d084259c96bdbd815b1b4ce100e1d0374050cd33ef49f8d7812c11ccf5b42")

NUM_VALIDATION = 10_000


class Pictures(NamedTuple):
    """Pictures in colour and their classes.

    Attributes:
      images: Red, green and blue from 0 to 255, (examples, 32, 32, 3), uint8.
      labels: Classes, (examples,), int32.
    """

    images: np.ndarray
    labels: np.ndarray


def load(name: str, split: str) -> Pictures:
    """Loads one split; the last 10000 training images are for validation.

    Args:
      name: One of `DATASETS`.
      split: One of "train", "validation" and "test".

    Raises:
      RefusedError: If a file is missing, not to be had, or not the known one; the message names it.
    """
    if name not in DATASETS or split not in SPLITS:
        raise ValueError(f"name must be one of {DATASETS} and split one of {SPLITS}, got {name!r} and {split!r}")
    part = "test" if split == "test" else "train"
    images, labels = _original(part) if name == "cifar10" else _jpeg(part)
    chosen = {"train": slice(-NUM_VALIDATION), "validation": slice(-NUM_VALIDATION, None), "test": slice(None)}[split]
    return Pictures(images[chosen], labels[chosen].astype(np.int32))


def _original(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads records of one byte for the class and 3072 for the colours, one plane after another."""
    path = fetch("cifar10", *ARCHIVE)
    names = ["test_batch"] if part == "test" else [f"data_batch_{number}" for number in range(1, 6)]
    try:
        with tarfile.open(path) as archive:
            files = [archive.extractfile(f"cifar-10-batches-bin/{name}.bin") for name in names]
            content = b"".join(file.read() for file in files if file)
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError) as error:
        raise RefusedError(f"{path} is damaged: {error}") from error
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def _jpeg(part: str) -> tuple[np.ndarray, np.ndarray]:
    name, checksum = JPEG
    path = Path(os.environ.get("JAXDROP_DATA", "")) / "cifar10" / name
    if "JAXDROP_DATA" not in os.environ or not path.is_file():
        raise RefusedError(
            f"there is no file {path} in the folder that JAXDROP_DATA names, and nobody who publishes it; "
            "--config.dataset=cifar10 takes the original pictures"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise RefusedError(f"{path} is damaged: its sha256 sum is not {checksum}")
    try:
        with np.load(io.BytesIO(content)) as file:
            stream, lengths, labels = (file[f"{kind}_{part}"] for kind in ("jpeg", "len", "y"))
        ends = np.cumsum(lengths.astype(int))
        files = [stream[end - size : end].tobytes() for end, size in zip(ends, lengths.astype(int), strict=True)]
        return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]), labels
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RefusedError(f"{path} is damaged: {error}") from error
