"""The same language model trained under every method, several seeds at once."""

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import text
from experiments.common.config import (
    check_at_least,
    check_one_of,
    check_positive,
    check_rates,
    check_seeds,
    check_types,
    names,
)
from experiments.common.errors import RefusedError
from experiments.common.training import fit
from experiments.language_model.network import METHODS, LanguageModel, places

HELD_OUT_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      dataset: "shakespeare", in characters, or "ptb", in words.
      methods: Names of methods, separated by semicolons, or "all".
      width: Units of each LSTM, and features of the embedding.
      num_layers: How many LSTMs.
      rate: Probability of dropping a feature of what goes into an LSTM or comes out of the last one.
      recurrent_rate: The same for a unit of the state, or of what is added to the memory.
      word_rate: The same for a symbol of the vocabulary, in variational dropout.
      weight_rate: The same for a hidden-to-hidden weight, in weight drop.
      zoneout_rate: Probability that a unit of the state h stays as it was.
      zoneout_memory_rate: The same for the memory c.
      num_seeds: Networks for each method, which differ in initial parameters and noise.
      seed: Of all of them.
      epochs: Passes over the training text. The parameters with the best validation perplexity after any of them count.
      batch_size: Places of the text that are read side by side.
      window: Symbols through which the gradient goes back; the state goes on to the next window.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      max_gradient_norm: The gradient is scaled down to this norm.
      max_symbols: Symbols of the training text used, the first ones; 0 for all.
    """

    dataset: str = "shakespeare"
    methods: str = "all"
    width: int = 200
    num_layers: int = 1
    rate: float = 0.3
    recurrent_rate: float = 0.2
    word_rate: float = 0.05
    weight_rate: float = 0.3
    zoneout_rate: float = 0.05
    zoneout_memory_rate: float = 0.3
    num_seeds: int = 3
    seed: int = 0
    epochs: int = 50
    batch_size: int = 32
    window: int = 50
    learning_rate: float = 3e-3
    max_gradient_norm: float = 1.0
    max_symbols: int = 50_000

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        check_one_of(self, "dataset", text.LANGUAGES)
        names("methods", self.methods, METHODS)
        check_rates(self, "rate", "recurrent_rate", "word_rate", "weight_rate", "zoneout_rate", "zoneout_memory_rate")
        check_positive(self, "learning_rate", "max_gradient_norm")
        check_at_least(self, 1, "width", "num_layers", "epochs", "batch_size", "window")
        check_at_least(self, 0, "max_symbols")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains the language model under each method.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each method the perplexity (per symbol) on the validation text, its standard error over seeds, that on the
      test and training text, and the validation perplexity of each network, all of the
      parameters that had the best validation perplexity. Predictions are without noise.
    """
    language = text.language(config.dataset)
    if config.max_symbols:
        language = language._replace(train=language.train[: config.max_symbols])
    return {name: _train(name, config, language, workdir) for name in names("methods", config.methods, METHODS)}


def windows(symbols: np.ndarray, batch_size: int, window: int) -> np.ndarray:
    """Cuts a text into `batch_size` equal parts, and those into windows.

    Args:
      symbols: The text, (length,).
      batch_size: How many parts; what is left over at the end is not used.
      window: Symbols to predict in a window.

    Returns:
      Array (windows of a part * batch_size, window + 1): first the first window of each part, then the second of each.
      The last symbol of a window is the first of the next.

    Raises:
      RefusedError: If the text is too short for one window in each part.
    """
    count = (len(symbols) - 1) // (batch_size * window)
    if count == 0:
        most = (len(symbols) - 1) // batch_size
        raise RefusedError(
            f"window must be at most {most} for {batch_size} parts of {len(symbols)} symbols, got {window}"
        )
    first = symbols[: count * batch_size * window].reshape(batch_size, count, window)
    last = symbols[1 : count * batch_size * window + 1].reshape(batch_size, count, window)[..., -1:]
    return np.concatenate([first, last], -1).swapaxes(0, 1).reshape(-1, window + 1)


def _train(name: str, config: Config, language: text.Language, workdir: Path) -> dict[str, float]:
    """Trains `num_seeds` networks under one method."""
    parts = {
        "training": windows(language.train, config.batch_size, config.window),
        "validation": windows(language.validation, HELD_OUT_BATCH, config.window),
        "test": windows(language.test, HELD_OUT_BATCH, config.window),
    }
    per_epoch = len(parts["training"]) // config.batch_size

    def network(train: bool) -> LanguageModel:
        where = places(name, config, train=train)
        return LanguageModel(len(language.vocabulary), config.width, config.num_layers, where)

    def nll(variables, states, batch, key=None) -> tuple[jax.Array, Any]:
        logits, states = network(key is not None).apply(
            {"params": variables["params"]}, batch[:, :-1], states, rngs={} if key is None else {"dropout": key}
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:]).mean(), states

    def loss(variables, batch, key, step):
        # The text starts anew with each epoch.
        states = jax.tree.map(lambda state: jnp.where(step % per_epoch == 0, 0.0, state), variables["states"])
        value, states = nll(variables, states, batch, key)
        return value, {"states": states}

    def init(key, batch_size: int):
        (_, states), variables = network(False).init_with_output(key, jnp.zeros((batch_size, 1), int), None)
        return {**variables, "states": jax.tree.map(jnp.zeros_like, states)}

    @partial(jax.jit, static_argnums=1)
    @partial(jax.vmap, in_axes=(0, None))
    def perplexity(variables, part: str):
        batch_size = config.batch_size if part == "training" else HELD_OUT_BATCH
        batches = jnp.asarray(parts[part]).reshape(-1, batch_size, config.window + 1)
        states = init(jax.random.key(0), batch_size)["states"]

        def read(states, batch):
            value, states = nll(variables, states, batch)
            return states, value

        _, values = jax.lax.scan(read, states, batches)
        return jnp.exp(values.mean())

    steps = config.epochs * per_epoch
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps)),
    )
    init_keys, train_keys = jax.random.split(jax.random.key(config.seed), (2, config.num_seeds))
    best = fit(
        loss,
        # One after the other: QR decompositions, which make kernels orthogonal, can deadlock under vmap (jaxlib 0.10).
        jax.jit(lambda keys: jax.lax.map(lambda key: init(key, config.batch_size), keys))(init_keys),
        optimizer,
        parts["training"],
        train_keys,
        epochs=config.epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=lambda variables: {"validation": perplexity(variables, "validation")},
        name=name,
        shuffle=False,
        lowest="validation",
    )
    values = {part: perplexity(best, part) for part in parts}
    return {
        "validation perplexity": float(values["validation"].mean()),
        "standard error": float(values["validation"].std(ddof=1)) / math.sqrt(config.num_seeds),
        "test perplexity": float(values["test"].mean()),
        "training perplexity": float(values["training"].mean()),
        **{f"validation, network {number}": float(value) for number, value in enumerate(values["validation"])},
    }
