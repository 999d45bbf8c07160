"""A user's own examples, from one .npz file, in the place of a published data set."""

import dataclasses
import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.errors import RefusedError


def is_file(name: str) -> bool:
    """Whether what stands where a data set's name may stand is the path of such a file."""
    return name.endswith(".npz")


def sums(config: Any) -> dict[str, str]:
    """The SHA-256 sums of all files that a configuration names, by path: a path alone does not say what is in a file.

    Raises:
      RefusedError: If there is no such file.
    """
    texts = [value for value in dataclasses.asdict(config).values() if isinstance(value, str)]
    paths = [Path(name) for text in texts for name in text.split(";") if is_file(name)]
    return {str(path): hashlib.sha256(_there(path).read_bytes()).hexdigest() for path in paths}


def load(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Loads one split from a file with the arrays x_train, y_train, x_test and y_test, which Keras' files have too.

    With x_validation and y_validation, those are the examples for validation; else the last sixth of those for training
    are, as of MNIST, so that they should be in random order.

    Args:
      path: The file.
      split: "train", "validation" or "test".

    Returns:
      Inputs (examples, ...), float32, divided by 255 if the file has bytes; and classes, (examples,), int32.

    Raises:
      RefusedError: If there is no such file, it lacks an array, or one is not as it must be; the message says which.
    """
    arrays = _read(path, "x_train", "y_train", "x_test", "y_test", "x_validation", "y_validation")
    parts = {name: (arrays[f"x_{name}"], arrays[f"y_{name}"]) for name in ("train", "test", "validation")}
    if all(part is None for part in parts["validation"]):
        del parts["validation"]
    lacking = [name for part in parts for name in (f"x_{part}", f"y_{part}") if arrays[name] is None]
    if lacking:
        raise RefusedError(f"{path} lacks {', '.join(lacking)}")
    first = parts["train"][0]
    for name, (x, y) in parts.items():
        _check_inputs(f"{path}: x_{name}", x)
        if x.shape[1:] != first.shape[1:] or x.dtype != first.dtype:
            raise RefusedError(f"{path}: x_{name}, {_said(x)}, must be like x_train, {_said(first)}")
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
            raise RefusedError(f"{path}: y_{name} must be ({len(x)},), integers from 0, got {_said(y)}")
    if "validation" not in parts:
        x, y = parts["train"]
        if len(x) < 2:
            raise RefusedError(f"{path}: x_train must have two examples or more, one of which is for validation")
        rest = len(x) - max(len(x) // 6, 1)
        parts |= {"train": (x[:rest], y[:rest]), "validation": (x[rest:], y[rest:])}
    x, y = parts[split]
    return _brightness(x), y.astype(np.int32)


def load_inputs(path: Path) -> np.ndarray:
    """Loads x_test, (examples, ...), from a file that need not have anything else. Raises as `load`."""
    inputs = _read(path, "x_test")["x_test"]
    if inputs is None:
        raise RefusedError(f"{path} lacks x_test")
    _check_inputs(f"{path}: x_test", inputs)
    return _brightness(inputs)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise RefusedError(f"there is no file {path}")
    return path


def _read(path: Path, *names: str) -> dict[str, Any]:
    """The arrays of these names, or None."""
    try:
        with np.load(_there(path)) as file:
            return {name: file.get(name) for name in names}
    except (OSError, EOFError, ValueError, TypeError, zlib.error, zipfile.BadZipFile) as error:
        raise RefusedError(f"{path} cannot be read: {error}") from error


def _check_inputs(name: str, x: np.ndarray) -> None:
    numbers = np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)
    if x.ndim < 2 or not len(x) or not numbers or not np.isfinite(x).all():
        raise RefusedError(f"{name} must be (examples, ...), finite numbers, got {_said(x)}")


def _said(x: np.ndarray) -> str:
    return f"{x.shape} of {x.dtype}"


def _brightness(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
