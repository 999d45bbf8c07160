"""The same transformer trained under every method, on few and on many examples, several seeds at once."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxdrop
from experiments.common import text
from experiments.common.config import check_at_least, check_positive, check_rates, check_seeds, check_types, names
from experiments.common.training import fit
from experiments.common.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of the comparison.

    Attributes:
      rates: Configuration -> rates of the encoder by place.
      noise: Noise on the attention weights.
      consistency: Whether the loss is R-Drop's, of two passes.
    """

    rates: Callable[[Any], jaxdrop.EncoderRates]
    noise: Callable[..., jax.Array] = jaxdrop.dropout
    consistency: bool = False


def _standard(config: Any, **others: float) -> jaxdrop.EncoderRates:
    """The places of Vaswani et al. (2017) and of tensor2tensor."""
    rates = {"embedding": config.rate, "residual": config.rate, "attention": config.rate} | others
    return jaxdrop.EncoderRates(**rates)


# All but the first have dropout on embeddings and residual branches, as their papers do.
METHODS = {
    "none": Method(lambda config: jaxdrop.encoder_rates.NO_DROPOUT),
    "dropout": Method(_standard),
    "DropAttention": Method(
        lambda config: _standard(config, attention=config.drop_attention_rate), jaxdrop.drop_attention
    ),
    "DropHead": Method(lambda config: _standard(config, attention=config.drop_head_rate), jaxdrop.drop_head),
    "LayerDrop": Method(lambda config: _standard(config, layer_drop=config.layer_drop_rate)),
    "R-Drop": Method(_standard, consistency=True),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      methods: Names of methods, separated by semicolons, or "all".
      small: Training examples in the small set, the first phrases of the large one.
      large: Those in the large set; 0 for all.
      small_epochs: Passes over the small set. The parameters with the lowest validation error after any of them count.
      large_epochs: Passes over the large set.
      features: Of each word.
      num_layers: Of the encoder.
      num_heads: In each layer.
      max_words: Size of the vocabulary.
      length: Words of a sentence; longer ones are cut off.
      rate: Probability of dropping in the standard places.
      drop_attention_rate: The same for DropAttention's attention weights.
      drop_head_rate: The same for DropHead's heads.
      layer_drop_rate: The same for LayerDrop's layers.
      consistency: R-Drop's alpha.
      num_seeds: Networks for each method, which differ in initial parameters, order of the examples and noise.
      seed: Of all of them.
      batch_size: Examples in a batch.
      learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
    """

    methods: str = "all"
    small: int = 1000
    large: int = 20_000
    small_epochs: int = 20
    large_epochs: int = 4
    features: int = 64
    num_layers: int = 2
    num_heads: int = 4
    max_words: int = 10_000
    length: int = 32
    rate: float = 0.2
    drop_attention_rate: float = 0.2
    drop_head_rate: float = 0.2
    layer_drop_rate: float = 0.2
    consistency: float = 1.0
    num_seeds: int = 3
    seed: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        names("methods", self.methods, METHODS)
        check_rates(self, "rate", "drop_attention_rate", "drop_head_rate", "layer_drop_rate")
        check_positive(self, "learning_rate")
        if not 0 <= self.consistency < math.inf:
            raise ValueError(f"consistency must be at least 0 and finite, got {self.consistency}")
        check_at_least(
            self, 1, "small", "small_epochs", "large_epochs", "num_layers", "num_heads", "length", "batch_size"
        )
        check_at_least(self, 0, "large")
        if self.features < 2 or self.features % (2 * self.num_heads):
            raise ValueError(f"features must be a multiple of 2 num_heads, {2 * self.num_heads}, got {self.features}")
        check_at_least(self, 3, "max_words")
        check_seeds(self)


def run(config: Config, workdir: Path) -> dict[str, dict[str, float]]:
    """Trains the transformer under each method, on the small and on the large training set.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each method and set the test error in percent, its standard error over seeds, the negative log-likelihood in
      nats and the error of each seed. Predictions are without noise.
    """
    data = text.sst2(config.length, config.max_words)
    sets = {"small": (config.small, config.small_epochs), "large": (config.large or None, config.large_epochs)}
    return {
        name: {
            f"{metric}, {size}": value
            for size, (count, epochs) in sets.items()
            for metric, value in _train(f"{name}, {size}", METHODS[name], config, data, count, epochs, workdir).items()
        }
        for name in names("methods", config.methods, METHODS)
    }


def _train(
    name: str, method: Method, config: Config, data: text.SST2, count: int | None, epochs: int, workdir: Path
) -> dict[str, float]:
    """Trains and tests `num_seeds` networks under one method on the first `count` phrases."""
    examples = text.Sentences(*(part[:count] for part in data.train))

    def network(train: bool) -> Transformer:
        return Transformer(
            len(data.vocabulary),
            config.features,
            config.num_layers,
            config.num_heads,
            method.rates(config) if train else jaxdrop.encoder_rates.NO_DROPOUT,
            method.noise,
            train=train,
        )

    def loss(variables, batch, key, step):
        del step

        def forward(key) -> Any:
            return network(True).apply(variables, batch.tokens, method="classify", rngs={"dropout": key})

        first, second = jax.random.split(key)
        if method.consistency:
            losses = jaxdrop.r_drop_loss(forward(first), forward(second), batch.labels, config.consistency)
        else:
            losses = optax.softmax_cross_entropy_with_integer_labels(forward(first), batch.labels)
        return losses.mean(), {}

    @partial(jax.jit, static_argnums=1)
    @partial(jax.vmap, in_axes=(0, None))
    def scores(variables, part: str) -> tuple[jax.Array, jax.Array]:
        """Error in percent and negative log-likelihood of each network."""
        tokens, labels = map(jnp.asarray, getattr(data, part))
        logits: Any = network(False).apply(variables, tokens, method="classify")
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return 100 * jnp.mean(logits.argmax(-1) != labels, dtype=jnp.float32), nll

    def evaluate(variables) -> dict[str, jax.Array]:
        return dict(zip(("validation_error", "validation_nll"), scores(variables, "validation"), strict=True))

    steps = epochs * (len(examples.labels) // config.batch_size)
    init_keys, train_keys = jax.random.split(jax.random.key(config.seed), (2, config.num_seeds))
    best = fit(
        loss,
        jax.jit(jax.vmap(lambda key: network(False).init(key, data.train.tokens[:1], method="classify")))(init_keys),
        optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps)),
        examples,
        train_keys,
        epochs=epochs,
        batch_size=config.batch_size,
        workdir=workdir,
        evaluate=evaluate,
        name=name,
        lowest="validation_error",
    )
    error, nll = scores(best, "test")
    return {
        "error %": float(error.mean()),
        "standard error": float(error.std(ddof=1)) / math.sqrt(config.num_seeds),
        "NLL": float(nll.mean()),
        **{f"error %, network {number}": float(value) for number, value in enumerate(error)},
    }
