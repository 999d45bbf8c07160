"""Configurations: read from a file, changed from the command line, described.

A configuration is a frozen dataclass with fields of type int, float, bool or str, declared once beside the code that
reads it. Its `__post_init__` calls `check_types` and raises `ValueError` on a bad value.
"""

import dataclasses
import importlib.util
import math
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments.common import own_data
from experiments.common.errors import RefusedError


def load(path: Path) -> tuple[Any, str]:
    """Runs the configuration file at `path`.

    Args:
      path: A Python file with a function `get_config()` that returns a configuration.

    Returns:
      The configuration and the file's docstring.

    Raises:
      RefusedError: If there is no such file, it has no `get_config`, or it sets a field wrongly.
    """
    if not path.is_file():
        raise RefusedError(f"there is no configuration file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise RefusedError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise RefusedError(f"{path} has no function get_config()")
        config = module.get_config()
    except RefusedError:
        raise
    except Exception as error:
        known = getattr(module, "Config", None)
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise RefusedError(f"{path}: {kind}{error}" + (describe(known) if known else "")) from error
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise RefusedError(f"{path}: get_config() must return a dataclass, got {config!r}")
    return config, module.__doc__ or ""


def override(config: Any, argv: Sequence[str], flag_values: flags.FlagValues) -> tuple[Any, list[str]]:
    """Changes fields of `config` as the command line says.

    Args:
      config: A configuration; left as it is.
      argv: The command line, program name first. `--config.FIELD=VALUE` sets a field.
      flag_values: The other flags that the command line may set.

    Returns:
      The changed configuration and the arguments that are not flags.

    Raises:
      RefusedError: If a field does not exist, or its value has the wrong type or is not allowed.
    """
    # config_flags assigns to the fields it parses, which a frozen dataclass refuses: it gets a mutable copy.
    hints = typing.get_type_hints(type(config))
    fields = [(f.name, hints[f.name], getattr(config, f.name)) for f in dataclasses.fields(config)]
    draft = dataclasses.make_dataclass("Draft", fields)()
    try:
        holder = config_flags.DEFINE_config_dataclass("config", draft, flag_values=flag_values, sys_argv=list(argv))
        rest = flag_values(list(argv))[1:]
    except KeyError as error:
        # "Field rat not found on dataclass <class ...>"
        raise RefusedError(f"{error.args[0].partition(' on ')[0]}{describe(config)}") from error
    except (flags.Error, AttributeError, TypeError) as error:
        raise RefusedError(f"{error}{describe(config)}") from error
    try:
        return type(config)(**dataclasses.asdict(holder.value)), rest
    except ValueError as error:
        raise RefusedError(str(error)) from error


def check_types(config: Any) -> None:
    """Raises `TypeError` unless each field holds a value of its declared type; a float field may hold an integer."""
    for name, kind in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name} must be {kind.__name__}, got {value!r}")


def check_one_of(config: Any, name: str, allowed: Sequence[str]) -> None:
    """Raises `ValueError` unless this field is one of those allowed."""
    if getattr(config, name) not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(config, name)!r}")


def check_data_set(config: Any, name: str, published: Sequence[str]) -> None:
    """Raises `ValueError` unless this field is one of these data sets, or the path of a user's own."""
    if not own_data.is_file(getattr(config, name)) and getattr(config, name) not in published:
        raise ValueError(
            f"{name} must be one of {', '.join(published)}, or the path of an .npz file, got {getattr(config, name)!r}"
        )


def check_rates(config: Any, *names: str) -> None:
    """Raises `ValueError` unless these fields are at least 0 and below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(config, name)}")


def check_open_rates(config: Any, *names: str) -> None:
    """Raises `ValueError` unless these fields are above 0 and below 1."""
    for name in names:
        if not 0 < getattr(config, name) < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {getattr(config, name)}")


def check_positive(config: Any, *names: str) -> None:
    """Raises `ValueError` unless these fields are positive and finite."""
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {getattr(config, name)}")


def check_at_least(config: Any, minimum: int, *names: str) -> None:
    """Raises `ValueError` unless these fields are at least `minimum`."""
    for name in names:
        if getattr(config, name) < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {getattr(config, name)}")


def check_seeds(config: Any) -> None:
    """Raises `ValueError` unless `seed` is one and `num_seeds` are enough for a standard error."""
    if config.num_seeds < 2:
        raise ValueError(f"num_seeds must be at least 2, for standard errors, got {config.num_seeds}")
    check_seed(config)


def check_seed(config: Any) -> None:
    """Raises `ValueError` unless `seed` is one of a JAX key."""
    if not 0 <= config.seed < 2**32:
        raise ValueError(f"seed must be at least 0 and below 2**32, got {config.seed}")


def names(field: str, value: str, known: Iterable[str]) -> list[str]:
    """The names in a field that holds several, separated by semicolons, or "all" of those known.

    Raises:
      ValueError: If one is not known.
    """
    known = list(known)
    chosen = known if value == "all" else value.split(";")
    if set(chosen) - set(known):
        raise ValueError(f"{field} must be 'all' or among {'; '.join(known)}, got {value!r}")
    return chosen


def integers(config: Any, name: str, minimum: int = 1) -> list[int]:
    """The integers in a field that holds several, separated by semicolons.

    Raises:
      ValueError: If one is not an integer of at least `minimum`.
    """
    value = getattr(config, name)
    if not all(part.isdigit() and int(part) >= minimum for part in value.split(";")):
        kind = "positive integers" if minimum == 1 else f"integers above {minimum - 1}"
        raise ValueError(f"{name} must be {kind}, separated by ;, got {value!r}")
    return list(map(int, value.split(";")))


def describe(config: Any) -> str:
    """Lines that list the fields of a configuration, or of a class of them, with type and value."""
    hints = typing.get_type_hints(config if isinstance(config, type) else type(config))
    lines = [
        f"  --config.{f.name}: {hints[f.name].__name__} = {getattr(config, f.name, f.default)!r}"
        for f in dataclasses.fields(config)
    ]
    return "\n".join(["\nFields:", *lines])


def changes(config: Any, other: Any) -> dict[str, Any]:
    """The fields in which `other` differs from `config`, with the values of `other`."""
    values = dataclasses.asdict(other)
    return {name: value for name, value in values.items() if value != getattr(config, name)}


def experiment(config: Any) -> tuple[str, Callable[[Any, Path], dict[str, Any]]]:
    """The name of the experiment that a configuration belongs to, and its `run(config, workdir) -> metrics`.

    Both are those of the module that declares the configuration's class: `run` of experiments/digits/train.py, and the
    folder, "digits".
    """
    name = type(config).__module__
    run: Any = getattr(sys.modules.get(name), "run", None)
    if run is None:
        raise RefusedError(f"{name}, which declares this configuration, has no function run(config, workdir)")
    return (name.rpartition(".")[0] or name).rpartition(".")[2], run
