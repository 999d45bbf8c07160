"""Noise inside flax's recurrent cells, by wrapping them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.recurrent import RNNCellBase

from jaxdrop import _checks, _masks, functional
from jaxdrop.functional._recurrent import Masks, first_activation, mixed_states, sequence_masks, times
from jaxdrop.nnx._stochastic import NoiseModule, RngSource

# The layers on state and inputs by kind of cell, in the same order of gates.
_LAYERS: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {
    nnx.LSTMCell: (("hi", "hf", "hg", "ho"), ("ii", "if_", "ig", "io")),
    nnx.OptimizedLSTMCell: (("dense_h",), ("dense_i",)),
    nnx.GRUCell: (("dense_h",), ("dense_i",)),
    nnx.SimpleCell: (("dense_h",), ("dense_i",)),
}


class _CellWrapper(NoiseModule, RNNCellBase):
    """A cell around another."""

    cell: Any

    @property
    def num_feature_axes(self) -> int:
        """How many axes of the inputs are features."""
        return self.cell.num_feature_axes


class VariationalDropoutCell(_CellWrapper):
    r"""A recurrent cell with masks for a whole sequence on what its matrices multiply.

    .. math:: i_t = \sigma(W_{ii} (m_x \odot x_t) + W_{hi} (m_h \odot h_{t-1}) + b_i), \quad \ldots

    The masks are drawn by `initialize_carry`, which `flax.nnx.RNN` calls before it loops: once for a sequence, and anew
    at each call. They travel with the state, as the second half of the carry; a carry that is handed on to the next
    part of a sequence takes its masks with it. What passes no matrix, the memory of an LSTM and the previous state that
    a GRU mixes in, is never dropped. keras 3's `LSTM(recurrent_dropout=...)` is this, untied.

    Args:
      cell: A `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell` of flax.
      rate: Probability of dropping a unit of the state; a number in [0, 1] or a scalar array.
      input_rate: Probability of dropping an input.
      tied: Whether all gates share their masks; else each has its own, which only `LSTMCell` can do.
      deterministic: Whether to leave the cell as it is.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.
      rngs: Where keys come from.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> cell = jaxdrop.nnx.VariationalDropoutCell(nnx.LSTMCell(3, 8, rngs=rngs), 0.3, rngs=rngs)
      >>> nnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
      (2, 5, 8)

    References:
      Gal and Ghahramani, `A theoretically grounded application of dropout in recurrent neural networks
      <https://arxiv.org/abs/1512.05287>`_, 2016
    """

    def __init__(
        self,
        cell: RNNCellBase,
        rate: jax.typing.ArrayLike,
        *,
        input_rate: jax.typing.ArrayLike = 0.0,
        tied: bool = True,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        _checks.kind("cell", cell, tuple(_LAYERS) if tied else (nnx.LSTMCell,))
        self.cell = cell
        self.rate = rate
        self.input_rate = input_rate
        self.tied = tied
        self.bits = bits

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: RngSource | None = None, carry_init: Any = None
    ) -> tuple[Any, Masks]:
        """Returns the carry of `cell` and the masks, divided by the probability of keeping; no masks if deterministic.

        Args:
          input_shape: Shape of the inputs of one step, (*batch, features).
          rngs: Where the keys for the carry of `cell` come from; those of the masks are the wrapper's own.
          carry_init: Initializer of the carry of `cell`.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of
            `jaxdrop.dropout`.
        """
        carry = self.cell.initialize_carry(input_shape, rngs, carry_init)
        rates = {"rate": self.rate, "input_rate": self.input_rate}
        known = [_checks.static_rate(name, rate) for name, rate in rates.items()]
        deterministic, key = self.flag_and_key(key_needed=any(rate not in (0.0, 1.0) for rate in known))
        if deterministic:
            return carry, {}
        state = jax.tree.leaves(carry)[-1]
        kinds = next(layers for kind, layers in _LAYERS.items() if isinstance(self.cell, kind))
        layers = [[names] if self.tied else [[name] for name in names] for names in kinds]
        shapes = state.shape, input_shape
        return carry, sequence_masks(key, tuple(rates.values()), shapes, layers, state.dtype, self.bits)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, carry: tuple[Any, Masks], inputs: jax.Array
    ) -> tuple[tuple[Any, Masks], jax.Array]:
        """Runs one step of `cell` under the masks in the carry."""
        inner, masks = carry
        with contextlib.ExitStack() as stack:
            for layer, mask in masks.items():
                stack.enter_context(_masked(getattr(self.cell, layer), mask))
            inner, y = self.cell(inner, inputs)
        return (inner, masks), y


class RecurrentDropoutCell(_CellWrapper):
    r"""A recurrent cell that drops what it would add to its memory, which it therefore never loses.

    .. math:: c_t = f_t \odot c_{t-1} + i_t \odot d(g_t) \quad \text{or} \quad h_t = (1 - z_t) d(n_t) + z_t h_{t-1}

    where d is dropout. The authors do not rescale in training, but multiply by :math:`1 - p` at test time; here
    survivors are divided by it in training. keras' `recurrent_dropout` is another method, `VariationalDropoutCell`. The
    carry is a pair as in that.

    Args:
      cell: A `LSTMCell`, `OptimizedLSTMCell` or `GRUCell` of flax.
      rate: Probability of dropping a unit; a number in [0, 1] or a scalar array.
      per_step: Whether to draw a mask at each step; else one for a whole sequence.
      deterministic: Whether to leave the cell as it is.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.
      rngs: Where keys come from.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> cell = jaxdrop.nnx.RecurrentDropoutCell(nnx.GRUCell(3, 8, rngs=rngs), 0.25, per_step=True, rngs=rngs)
      >>> nnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
      (2, 5, 8)

    References:
      Semeniuta et al., `Recurrent dropout without memory loss <https://arxiv.org/abs/1603.05118>`_, 2016
    """

    def __init__(
        self,
        cell: RNNCellBase,
        rate: jax.typing.ArrayLike,
        *,
        per_step: bool = False,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        _checks.kind("cell", cell, (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell))
        self.cell = cell
        self.rate = rate
        self.per_step = per_step
        self.bits = bits

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: RngSource | None = None, carry_init: Any = None
    ) -> tuple[Any, Masks]:
        """Returns the carry of `cell` and the mask, divided by the probability of keeping, if one serves all steps.

        Args:
          input_shape: Shape of the inputs of one step, (*batch, features).
          rngs: Where the keys for the carry of `cell` come from; that of the mask is the wrapper's own.
          carry_init: Initializer of the carry of `cell`.

        Raises:
          ValueError: If `deterministic` or `rngs` is needed and given nowhere, or for the conditions of
            `jaxdrop.dropout`.
        """
        carry = self.cell.initialize_carry(input_shape, rngs, carry_init)
        deterministic, key = self.flag_and_key(key_needed=self.key_needed() and not self.per_step)
        if deterministic or self.per_step:
            return carry, {}
        state = jax.tree.leaves(carry)[-1]
        ones = jnp.ones(state.shape, _masks.wide(state.dtype))
        return carry, {"g": functional.dropout(key, ones, self.rate, bits=self.bits)}

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        carry: tuple[Any, Masks],
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> tuple[tuple[Any, Masks], jax.Array]:
        """Runs one step of `cell`, under the mask in the carry or, with `per_step`, one of its own; or under none."""
        inner, masks = carry
        key_needed = self.key_needed() and self.per_step
        deterministic, key = self.flag_and_key(deterministic, rngs, key_needed=key_needed)

        def drop(candidate: jax.Array) -> jax.Array:
            if deterministic:
                return candidate
            if not self.per_step:
                return times(candidate, masks.get("g"))
            return functional.dropout(key, candidate, self.rate, bits=self.bits)

        with first_activation(self.cell, drop):
            inner, y = self.cell(inner, inputs)
        return (inner, masks), y


class ZoneoutCell(_CellWrapper):
    """A recurrent cell of whose state each unit stays as it was with a given probability; see `jaxdrop.zoneout`.

    A mask is drawn at each step. Prediction mixes the old and the new state by their probabilities.

    Args:
      cell: A `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell` of flax.
      rate: Probability of staying for the units of the state h; a number in [0, 1] or a scalar array.
      memory_rate: The same for the memory c of an LSTM.
      deterministic: Whether to mix by the probabilities.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.
      rngs: Where keys come from.

    Examples:
      >>> rngs = nnx.Rngs(0)
      >>> cell = jaxdrop.nnx.ZoneoutCell(nnx.LSTMCell(3, 8, rngs=rngs), 0.05, memory_rate=0.5, rngs=rngs)
      >>> nnx.RNN(cell)(jnp.ones((2, 5, 3))).shape
      (2, 5, 8)

    References:
      Krueger et al., `Zoneout <https://arxiv.org/abs/1606.01305>`_, 2017
    """

    def __init__(
        self,
        cell: RNNCellBase,
        rate: jax.typing.ArrayLike,
        *,
        memory_rate: jax.typing.ArrayLike | None = None,
        deterministic: bool | None = False,
        rng_collection: str = "dropout",
        bits: int | None = None,
        rngs: RngSource | None = None,
    ):
        super().__init__(deterministic=deterministic, rng_collection=rng_collection, rngs=rngs)
        lstms = (nnx.LSTMCell, nnx.OptimizedLSTMCell)
        _checks.kind("cell", cell, lstms if memory_rate is not None else (*lstms, nnx.GRUCell, nnx.SimpleCell))
        self.cell = cell
        self.rate = rate
        self.memory_rate = memory_rate
        self.bits = bits

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: RngSource | None = None, carry_init: Any = None
    ) -> Any:
        """Returns the carry of `cell`."""
        return self.cell.initialize_carry(input_shape, rngs, carry_init)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        carry: Any,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: RngSource | jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """Runs one step of `cell` and lets units of its state stay as they were."""
        memory_rate = 0.0 if self.memory_rate is None else self.memory_rate
        rates = (memory_rate, self.rate) if isinstance(carry, tuple) else (self.rate,)
        known = [_checks.static_rate(name, rate) for name, rate in (("rate", self.rate), ("memory_rate", memory_rate))]
        deterministic, key = self.flag_and_key(
            deterministic, rngs, key_needed=any(rate not in (0.0, 1.0) for rate in known)
        )
        new, _ = self.cell(carry, inputs)
        return mixed_states(key, new, carry, rates, deterministic=deterministic, bits=self.bits)


@contextlib.contextmanager
def _masked(layer: Any, mask: jax.Array) -> Iterator[None]:
    """Multiplies the inputs of a layer by a mask for a while."""
    kind = type(layer)

    def call(self, inputs: jax.Array, *args: Any, **kwargs: Any) -> Any:
        return kind.__call__(self, times(inputs, mask), *args, **kwargs)

    # Not an attribute, which would be part of the model's structure.
    object.__setattr__(layer, "__class__", type(kind.__name__, (kind,), {"__call__": call}))
    try:
        yield
    finally:
        object.__setattr__(layer, "__class__", kind)
