"""A language model of unlabelled sentences, fine-tuned on few labelled ones, and the same network without it."""

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
from experiments.common.config import check_at_least, check_positive, check_rates, check_seeds, check_types
from experiments.common.training import fit
from experiments.common.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment.

    Attributes:
      rates: Probabilities of dropping in fine-tuning, separated by semicolons, in all places of T5's preset.
      pretraining_rate: The same in pre-training.
      labelled: Labelled sentences, the first ones; all are read in pre-training, without labels.
      pretraining_epochs: Passes over all sentences. The parameters with the lowest validation loss after any count.
      epochs: Passes over the labelled ones. Here the lowest validation error decides.
      features: Of each word.
      num_layers: Of the transformer.
      num_heads: In each layer.
      max_words: Size of the vocabulary.
      length: Words of a sentence; longer ones are cut off.
      num_seeds: Networks for each rate, which differ in initial parameters, order of the examples and noise.
      seed: Of all of them.
      batch_size: Sentences in a batch.
      pretraining_learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
      learning_rate: The same in fine-tuning.
    """

    rates: str = "0;0.1;0.2;0.3"
    pretraining_rate: float = 0.1
    labelled: int = 500
    pretraining_epochs: int = 10
    epochs: int = 20
    features: int = 64
    num_layers: int = 2
    num_heads: int = 4
    max_words: int = 5000
    length: int = 32
    num_seeds: int = 3
    seed: int = 0
    batch_size: int = 32
    pretraining_learning_rate: float = 2e-3
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        """Raises `TypeError` or `ValueError` if a value is not allowed."""
        check_types(self)
        try:
            rates = self.chosen
        except ValueError as error:
            raise ValueError(f"rates must be numbers separated by semicolons, got {self.rates!r}") from error
        for rate in rates:
            if not 0 <= rate < 1:
                raise ValueError(f"rates must be at least 0 and below 1, got {rate}")
        check_rates(self, "pretraining_rate")
        check_positive(self, "pretraining_learning_rate", "learning_rate")
        check_at_least(self, 1, "labelled", "pretraining_epochs", "epochs", "num_layers", "num_heads", "batch_size")
        if self.features < 2 or self.features % (2 * self.num_heads):
            raise ValueError(f"features must be a multiple of 2 num_heads, {2 * self.num_heads}, got {self.features}")
        check_at_least(self, 3, "max_words")
        check_at_least(self, 2, "length")
        check_seeds(self)

    @property
    def chosen(self) -> list[float]:
        """The rates."""
        return [float(rate) for rate in self.rates.split(";")]


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Pre-trains one network for each seed, and fine-tunes it at each rate.

    Args:
      config: Settings.
      workdir: Absolute path of an existing folder.

    Returns:
      For each rate the test error in percent of the pre-trained and of the new networks, their standard errors over
      seeds and negative log-likelihoods in nats; and the validation perplexity that pre-training reached.
    """
    data = text.sst2(config.length, config.max_words)
    init_keys, pretraining_keys, keys = jax.random.split(jax.random.key(config.seed), (3, config.num_seeds))

    def network(rate: float, train: bool) -> Transformer:
        # No noise outside training: the rates are then ignored.
        rates = jaxdrop.EncoderRates(embedding=rate, residual=rate, attention=rate, feed_forward=rate)
        size = (config.features, config.num_layers, config.num_heads)
        return Transformer(len(data.vocabulary), *size, rates, causal=True, train=train)

    def word_nll(variables, tokens: jax.Array, key: jax.Array | None = None) -> jax.Array:
        rngs = {} if key is None else {"dropout": key}
        model = network(config.pretraining_rate, key is not None)
        logits: Any = model.apply(variables, tokens[:, :-1], method="next_word", rngs=rngs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:])
        return losses.mean(where=tokens[:, 1:] != text.PADDING)

    def class_losses(variables, sentences: Any, rate: float, key: jax.Array | None = None):
        rngs = {} if key is None else {"dropout": key}
        logits: Any = network(rate, key is not None).apply(variables, sentences.tokens, method="classify", rngs=rngs)
        return logits, optax.softmax_cross_entropy_with_integer_labels(logits, sentences.labels).mean()

    @partial(jax.jit, static_argnums=1)
    @partial(jax.vmap, in_axes=(0, None))
    def scores(variables, part: str) -> tuple[jax.Array, jax.Array]:
        """Error in percent and negative log-likelihood of each network."""
        sentences = jax.tree.map(jnp.asarray, getattr(data, part))
        logits, nll = class_losses(variables, sentences, 0.0)
        return 100 * jnp.mean(logits.argmax(-1) != sentences.labels, dtype=jnp.float32), nll

    def train(name, variables, loss: Callable[..., jax.Array], examples: Any, evaluate, epochs, learning_rate, keys):
        steps = epochs * (len(jax.tree.leaves(examples)[0]) // config.batch_size)
        return fit(
            lambda variables, batch, key, step: (loss(variables, batch, key), {}),
            variables,
            optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
            examples,
            keys,
            epochs=epochs,
            batch_size=config.batch_size,
            workdir=workdir,
            evaluate=evaluate,
            name=name,
            lowest="validation",
        )

    validation_nll = jax.jit(jax.vmap(lambda variables: word_nll(variables, jnp.asarray(data.validation.tokens))))
    new = jax.jit(jax.vmap(lambda key: network(0.0, False).init(key, data.test.tokens[:1], method="both_heads")))(
        init_keys
    )
    pretrained = train(
        "pre-training",
        new,
        word_nll,
        data.sentences.tokens,
        lambda variables: {"validation": validation_nll(variables)},
        config.pretraining_epochs,
        config.pretraining_learning_rate,
        pretraining_keys,
    )

    def fine_tune(name: str, rate: float, start: Any) -> dict[str, float]:
        best = train(
            f"{name}, rate {rate:g}",
            start,
            lambda variables, batch, key: class_losses(variables, batch, rate, key)[1],
            text.Sentences(*(part[: config.labelled] for part in data.sentences)),
            lambda variables: {"validation": scores(variables, "validation")[0]},
            config.epochs,
            config.learning_rate,
            keys,
        )
        error, nll = scores(best, "test")
        return {
            f"error %, {name}": float(error.mean()),
            f"standard error, {name}": float(error.std(ddof=1)) / math.sqrt(config.num_seeds),
            f"NLL, {name}": float(nll.mean()),
        }

    starts = {"pre-trained": pretrained, "new": new}
    metrics: dict[str, Any] = {
        f"rate {rate:g}": {key: x for name, start in starts.items() for key, x in fine_tune(name, rate, start).items()}
        for rate in config.chosen
    }
    return metrics | {"perplexity after pre-training": float(jnp.exp(validation_nll(pretrained)).mean())}
