"""Noise inside flax's recurrent cells, by wrapping them."""

import abc
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdrop import _checks, _masks, functional
from jaxdrop.functional._recurrent import Masks, first_activation, mixed_states, sequence_masks, times
from jaxdrop.linen._stochastic import NoiseModule, flag_and_key, rate_needs_key

_GATES: dict[type, str] = {nn.LSTMCell: "ifgo", nn.GRUCell: "rzn", nn.MGUCell: "fn"}


class _CellWrapper(NoiseModule, nn.RNNCellBase):
    """A cell around another, whose parameters are where they would be without it."""

    @abc.abstractmethod
    def allowed(self) -> tuple[type[nn.Module], ...]:
        """The kinds of cells that it can wrap."""

    def setup(self) -> None:
        fields: Any = self
        _checks.kind("cell", fields.cell, self.allowed())
        nn.share_scope(self, fields.cell)

    @property
    def num_feature_axes(self) -> int:
        """How many axes of the inputs are features."""
        fields: Any = self
        return fields.cell.num_feature_axes


class VariationalDropoutCell(_CellWrapper):
    r"""A recurrent cell with masks for a whole sequence on what its matrices multiply.

    .. math:: i_t = \sigma(W_{ii} (m_x \odot x_t) + W_{hi} (m_h \odot h_{t-1}) + b_i), \quad \ldots

    The masks are drawn by `initialize_carry`, which `flax.linen.RNN` calls before it loops: once for a sequence, and
    anew at each call. They travel with the state, as the second half of the carry; a carry that is handed on to the
    next part of a sequence takes its masks with it. What passes no matrix, the memory of an LSTM and the previous state
    that a GRU mixes in, is never dropped. keras 3's `LSTM(recurrent_dropout=...)` is this, untied.

    Attributes:
      cell: A `LSTMCell`, `OptimizedLSTMCell`, `GRUCell`, `MGUCell` or `SimpleCell` of flax.
      rate: Probability of dropping a unit of the state; a number in [0, 1] or a scalar array.
      input_rate: Probability of dropping an input.
      tied: Whether all gates share their masks; else each has its own, which `OptimizedLSTMCell` cannot do.
      deterministic: Whether to leave the cell as it is.
      rng_collection: Name of the RNG stream that the key comes from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.

    Examples:
      >>> cell = jaxdrop.linen.VariationalDropoutCell(nn.LSTMCell(8), 0.3, deterministic=False)
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> y, variables = nn.RNN(cell).init_with_output(rngs, jnp.ones((2, 5, 3)))
      >>> y.shape
      (2, 5, 8)

    References:
      Gal and Ghahramani, `A theoretically grounded application of dropout in recurrent neural networks
      <https://arxiv.org/abs/1512.05287>`_, 2016
    """

    cell: nn.RNNCellBase
    rate: jax.typing.ArrayLike
    input_rate: jax.typing.ArrayLike = 0.0
    tied: bool = True
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def allowed(self) -> tuple[type[nn.Module], ...]:
        if self.tied:
            return (nn.LSTMCell, nn.OptimizedLSTMCell, nn.GRUCell, nn.MGUCell, nn.SimpleCell)
        return tuple(_GATES)

    def initialize_carry(
        self, rng: jax.Array, input_shape: tuple[int, ...], deterministic: bool | None = None
    ) -> tuple[Any, Masks]:
        """Returns the carry of `cell` and the masks, divided by the probability of keeping; no masks if deterministic.

        Args:
          rng: PRNG key for the carry of `cell`; the masks' own comes from the RNG stream.
          input_shape: Shape of the inputs of one step, (*batch, features).
          deterministic: Whether to leave the cell as it is.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.dropout`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        carry = self.cell.initialize_carry(rng, input_shape)
        key_needed = [rate_needs_key(self.rate), rate_needs_key(self.input_rate, "input_rate")]
        deterministic, key = flag_and_key(self, deterministic, None, key_needed=any(key_needed))
        if deterministic:
            return carry, {}
        state = jax.tree.leaves(carry)[-1]
        gates = [""] if self.tied else next(_GATES[kind] for kind in _GATES if isinstance(self.cell, kind))
        layers = [[[place + gate] for gate in gates] for place in "hi"]
        rates, shapes = (self.rate, self.input_rate), (state.shape, input_shape)
        return carry, sequence_masks(key, rates, shapes, layers, state.dtype, self.bits)

    def __call__(self, carry: tuple[Any, Masks], inputs: jax.Array) -> tuple[tuple[Any, Masks], jax.Array]:
        """Runs one step of `cell` under the masks in the carry."""
        inner, masks = carry
        if isinstance(self.cell, nn.OptimizedLSTMCell):  # whose h goes nowhere but through a matrix
            (c, h), x = inner, inputs
            inner, y = self.cell((c, times(h, masks.get("h"))), times(x, masks.get("i")))
            return (inner, masks), y

        def intercept(next_fun: Callable[..., Any], args, kwargs, context: nn.module.InterceptorContext) -> Any:
            name = context.module.name or ""
            if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
                args = (times(args[0], masks.get(name, masks.get(name[:1]))), *args[1:])
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(intercept):
            inner, y = self.cell(inner, inputs)
        return (inner, masks), y


class RecurrentDropoutCell(_CellWrapper):
    r"""A recurrent cell that drops what it would add to its memory, which it therefore never loses.

    .. math:: c_t = f_t \odot c_{t-1} + i_t \odot d(g_t) \quad \text{or} \quad h_t = (1 - z_t) d(n_t) + z_t h_{t-1}

    where d is dropout. The authors do not rescale in training, but multiply by :math:`1 - p` at test time; here
    survivors are divided by it in training. keras' `recurrent_dropout` is another method, `VariationalDropoutCell`.

    The carry is a pair as in `VariationalDropoutCell`. With `per_step`, an `flax.linen.RNN` around it needs
    `split_rngs={"params": False, "dropout": True}`.

    Attributes:
      cell: A `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `MGUCell` of flax.
      rate: Probability of dropping a unit; a number in [0, 1] or a scalar array.
      per_step: Whether to draw a mask at each step; else one for a whole sequence.
      deterministic: Whether to leave the cell as it is.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.

    Examples:
      >>> cell = jaxdrop.linen.RecurrentDropoutCell(nn.GRUCell(8), 0.25, per_step=True, deterministic=False)
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> rnn = nn.RNN(cell, split_rngs={"params": False, "dropout": True})
      >>> rnn.init_with_output(rngs, jnp.ones((2, 5, 3)))[0].shape
      (2, 5, 8)

    References:
      Semeniuta et al., `Recurrent dropout without memory loss <https://arxiv.org/abs/1603.05118>`_, 2016
    """

    cell: nn.RNNCellBase
    rate: jax.typing.ArrayLike
    per_step: bool = False
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def allowed(self) -> tuple[type[nn.Module], ...]:
        return (nn.LSTMCell, nn.OptimizedLSTMCell, nn.GRUCell, nn.MGUCell)

    def initialize_carry(
        self, rng: jax.Array, input_shape: tuple[int, ...], deterministic: bool | None = None
    ) -> tuple[Any, Masks]:
        """Returns the carry of `cell` and the mask, divided by the probability of keeping, if one serves all steps.

        Args:
          rng: PRNG key for the carry of `cell`; the mask's own comes from the RNG stream.
          input_shape: Shape of the inputs of one step, (*batch, features).
          deterministic: Whether to leave the cell as it is.

        Raises:
          ValueError: If `deterministic` is given neither or twice, or for the conditions of `jaxdrop.dropout`.
          flax.errors.InvalidRngError: If the RNG stream is missing.
        """
        carry = self.cell.initialize_carry(rng, input_shape)
        key_needed = rate_needs_key(self.rate) and not self.per_step
        deterministic, key = flag_and_key(self, deterministic, None, key_needed=key_needed)
        if deterministic or self.per_step:
            return carry, {}
        state = jax.tree.leaves(carry)[-1]
        ones = jnp.ones(state.shape, _masks.wide(state.dtype))
        return carry, {"g": functional.dropout(key, ones, self.rate, bits=self.bits)}

    def __call__(
        self,
        carry: tuple[Any, Masks],
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[tuple[Any, Masks], jax.Array]:
        """Runs one step of `cell`, under the mask in the carry or, with `per_step`, one of its own; or under none."""
        inner, masks = carry
        key_needed = rate_needs_key(self.rate) and self.per_step
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=key_needed)

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

    A mask is drawn at each step: an `flax.linen.RNN` around it needs `split_rngs={"params": False, "dropout": True}`.
    Prediction mixes the old and the new state by their probabilities.

    Attributes:
      cell: A `LSTMCell`, `OptimizedLSTMCell`, `GRUCell`, `MGUCell` or `SimpleCell` of flax.
      rate: Probability of staying for the units of the state h; a number in [0, 1] or a scalar array.
      memory_rate: The same for the memory c of an LSTM.
      deterministic: Whether to mix by the probabilities.
      rng_collection: Name of the RNG stream that keys come from.
      bits: Random bits that decide a unit: None, 8, 16 or 32.

    Examples:
      >>> cell = jaxdrop.linen.ZoneoutCell(nn.LSTMCell(8), 0.05, memory_rate=0.5, deterministic=False)
      >>> rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
      >>> rnn = nn.RNN(cell, split_rngs={"params": False, "dropout": True})
      >>> rnn.init_with_output(rngs, jnp.ones((2, 5, 3)))[0].shape
      (2, 5, 8)

    References:
      Krueger et al., `Zoneout <https://arxiv.org/abs/1606.01305>`_, 2017
    """

    cell: nn.RNNCellBase
    rate: jax.typing.ArrayLike
    memory_rate: jax.typing.ArrayLike | None = None
    deterministic: bool | None = None
    rng_collection: str = "dropout"
    bits: int | None = None

    def allowed(self) -> tuple[type[nn.Module], ...]:
        lstms = (nn.LSTMCell, nn.OptimizedLSTMCell)
        return lstms if self.memory_rate is not None else (*lstms, nn.GRUCell, nn.MGUCell, nn.SimpleCell)

    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """Returns the carry of `cell`."""
        return self.cell.initialize_carry(rng, input_shape)

    def __call__(
        self, carry: Any, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None
    ) -> tuple[Any, jax.Array]:
        """Runs one step of `cell` and lets units of its state stay as they were."""
        memory_rate = 0.0 if self.memory_rate is None else self.memory_rate
        rates = (memory_rate, self.rate) if isinstance(carry, tuple) else (self.rate,)
        key_needed = [rate_needs_key(self.rate), rate_needs_key(memory_rate, "memory_rate")]
        deterministic, key = flag_and_key(self, deterministic, rng, key_needed=any(key_needed))
        new, _ = self.cell(carry, inputs)
        return mixed_states(key, new, carry, rates, deterministic=deterministic, bits=self.bits)
