"""Configurations: read from a file, changed from the command line, described.

A configuration is a frozen dataclass with fields of type int, float, bool or str, declared once beside the code that
reads it. Its `__post_init__` calls `check_types` and raises `ValueError` on a bad value.
"""

import dataclasses
import importlib.util
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

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

    Both are the module's that declares the configuration's class: `run` of experiments/digits/train.py, and "digits".
    """
    name = type(config).__module__
    run: Any = getattr(sys.modules.get(name), "run", None)
    if run is None:
        raise RefusedError(f"{name}, which declares this configuration, has no function run(config, workdir)")
    return name.removesuffix(".train").rpartition(".")[2], run
