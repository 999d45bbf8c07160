"""The language model, and the methods under comparison: what each puts where."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax

import jaxdrop
import jaxdrop.linen

State = Any
Cell = Callable[[int], nn.RNNCellBase]


class NaiveDropoutCell(nn.RNNCellBase):
    """A recurrent cell with ordinary dropout, a mask for each step, on the state that it gets from the step before.

    It is the method that all others improve on, so the library has no such layer.

    Attributes:
      cell: An LSTM cell.
      rate: Probability of dropping a unit.
    """

    cell: nn.RNNCellBase
    rate: float

    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> State:
        """Returns the carry of the cell."""
        return self.cell.initialize_carry(rng, input_shape)

    def __call__(self, carry: State, inputs: jax.Array) -> tuple[State, jax.Array]:
        """Runs one step."""
        memory, state = carry
        return self.cell((memory, jaxdrop.dropout(self.make_rng("dropout"), state, self.rate)), inputs)

    @property
    def num_feature_axes(self) -> int:
        """How many axes of the inputs are features."""
        return self.cell.num_feature_axes


@dataclasses.dataclass(frozen=True)
class Places:
    """What stands in the places of the language model where methods differ.

    Attributes:
      layer: Makes the layer on the embedded symbols, between LSTMs and on what the last one puts out; None for none.
      cell: Width -> cell.
      words: Rate of dropping whole symbols of the vocabulary.
      weights: Rate of dropping hidden-to-hidden weights.
    """

    layer: Callable[[], nn.Module] | None = None
    cell: Cell = nn.OptimizedLSTMCell
    words: float = 0.0
    weights: float = 0.0


def _hidden_to_hidden(path: Sequence[str]) -> bool:
    return path[-1] == "kernel" and path[-2] in ("hi", "hf", "hg", "ho")


def _non_recurrent(config: Any) -> Places:
    return Places(layer=partial(jaxdrop.linen.Dropout, config.rate, deterministic=False))


def _locked(config: Any, **others: Any) -> Places:
    return Places(layer=partial(jaxdrop.linen.LockedDropout, config.rate, deterministic=False), **others)


def _around(config: Any, kind: Callable[..., nn.RNNCellBase], *rates: float, **options: Any) -> Cell:
    return lambda width: kind(nn.OptimizedLSTMCell(width), *rates, **options)


# Configuration -> what it puts where in training. To predict, the plain network serves all but zoneout.
METHODS: dict[str, Callable[[Any], Places]] = {
    "none": lambda config: Places(),
    "non-recurrent": _non_recurrent,
    "naive recurrent": lambda config: dataclasses.replace(
        _non_recurrent(config), cell=_around(config, NaiveDropoutCell, config.recurrent_rate)
    ),
    "variational": lambda config: _locked(
        config,
        words=config.word_rate,
        cell=_around(config, jaxdrop.linen.VariationalDropoutCell, config.recurrent_rate, deterministic=False),
    ),
    "recurrent": lambda config: dataclasses.replace(
        _non_recurrent(config),
        cell=_around(
            config, jaxdrop.linen.RecurrentDropoutCell, config.recurrent_rate, per_step=True, deterministic=False
        ),
    ),
    "zoneout": lambda config: dataclasses.replace(_non_recurrent(config), cell=_zoneout(config, deterministic=False)),
    "weight drop": lambda config: _locked(config, weights=config.weight_rate),
}


def _zoneout(config: Any, *, deterministic: bool) -> Cell:
    options = {"memory_rate": config.zoneout_memory_rate, "deterministic": deterministic}
    return _around(config, jaxdrop.linen.ZoneoutCell, config.zoneout_rate, **options)


def places(method: str, config: Any, *, train: bool) -> Places:
    """What a method puts where in training, or to predict."""
    if train:
        return METHODS[method](config)
    return Places(cell=_zoneout(config, deterministic=True)) if method == "zoneout" else Places()


class LanguageModel(nn.Module):
    """LSTMs between an embedding and a dense layer.

    Attributes:
      num_symbols: Size of the vocabulary.
      width: Features of the embedding and units of each LSTM.
      num_layers: How many LSTMs.
      places: What the method puts where.
    """

    num_symbols: int
    width: int
    num_layers: int
    places: Places

    @nn.compact
    def __call__(self, tokens: jax.Array, states: Sequence[State] | None) -> tuple[jax.Array, list[State]]:
        """Predicts each next symbol.

        Args:
          tokens: Symbols as numbers, (batch, length).
          states: State of each LSTM after the symbols before; None at the start of a text.

        Returns:
          Logits of the symbol that follows each one, (batch, length, num_symbols), and the state of each LSTM.
        """
        noise = (lambda x: x) if self.places.layer is None else self.places.layer()
        x = nn.Embed(self.num_symbols, self.width)(tokens)
        if self.places.words:
            x = jaxdrop.embedding_dropout(self.make_rng("dropout"), x, tokens, self.places.words)
        last = []
        for layer in range(self.num_layers):
            cell = self.places.cell(self.width)
            start = cell.initialize_carry(jax.random.key(0), x[:, 0].shape)
            has_masks = isinstance(start[1], dict)
            if states is not None:
                start = (states[layer], start[1]) if has_masks else states[layer]
            rnn = nn.RNN(cell, split_rngs={"params": False, "dropout": True}, name=f"lstm_{layer}")
            if self.places.weights:
                rate = self.places.weights
                rnn = jaxdrop.linen.WeightDrop(rnn, rate, _hidden_to_hidden, deterministic=False)
            end, x = rnn(noise(x), initial_carry=start, return_carry=True)
            last.append(end[0] if has_masks else end)
        return nn.Dense(self.num_symbols)(noise(x)), last
