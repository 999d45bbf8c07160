"""Dot-product attention with noise on its weights."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxdrop import _checks, _masks
from jaxdrop.functional.dropout import dropout


class WeightNoise(Protocol):
    """Noise on attention weights (batch, heads, queries, keys), such as `jaxdrop.dropout` and `drop_attention`."""

    def __call__(self, key: jax.Array | None, x: jax.Array, rate: jax.typing.ArrayLike, /) -> jax.Array:
        """Returns the weights under noise."""
        ...


def dot_product_attention(
    query: jax.typing.ArrayLike,
    key: jax.typing.ArrayLike,
    value: jax.typing.ArrayLike,
    bias: jax.typing.ArrayLike | None = None,
    mask: jax.typing.ArrayLike | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: jax.typing.ArrayLike | None = None,
    key_value_seq_lengths: jax.typing.ArrayLike | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    dropout_rate: jax.typing.ArrayLike = 0.0,
    dropout_key: jax.Array | None = None,
    noise: WeightNoise = dropout,
) -> jax.Array:
    r"""Attention of which weights are dropped after the softmax.

    .. math:: y = (m \odot \mathrm{softmax}(q k^\top / \sqrt{H} + b)) v / (1 - p), \quad m \sim \mathrm{Bernoulli}(1-p)

    The arguments are those of `jax.nn.dot_product_attention` and three more. Each batch entry, head, query and key has
    a decision of its own, as in tensor2tensor. (The paper itself only drops outputs of sub-layers. Flax's attention
    shares one mask over batch and heads by default; for that, give `functools.partial(jaxdrop.dropout,
    broadcast_dims=(0, 1))` as the noise.) A query that may attend to nothing attends to all keys alike, as in
    `jax.nn`. At the static rate 0 this is `jax.nn.dot_product_attention`, with its fused implementations.

    Args:
      query: Floating-point array (batch, queries, heads, features), or without the batch.
      key: Array (batch, keys, groups, features); there may be fewer groups than heads, as a divisor.
      value: Array of the shape of `key`.
      bias: Array that broadcasts to (batch, heads, queries, keys), with four axes, added to the logits.
      mask: Boolean array in the same form: True where a query may attend to a key.
      scale: Factor of the logits, by default one over the square root of the features.
      is_causal: Whether a query may attend to keys up to its own position only.
      query_seq_lengths: Integers (batch,): outputs from there on are zero.
      key_value_seq_lengths: Integers (batch,): keys from there on are not attended to.
      local_window_size: How many keys to the left and to the right of its own position a query may attend to.
      implementation: None, "xla" or "cudnn"; the last only at the static rate 0.
      dropout_rate: Probability :math:`p` of dropping a weight; a number in [0, 1], or an array, traced or not, that
        broadcasts against the weights. No gradient flows into it.
      dropout_key: PRNG key, typed or legacy, of any implementation; consumed. Not read at static rates 0 and 1.
      noise: Function of key, weights (batch, heads, queries, keys) and rate, in place of `jaxdrop.dropout`; for example
        `jaxdrop.drop_attention` or `jaxdrop.drop_head`.

    Returns:
      An array of the shape and dtype of `query`.

    Raises:
      ValueError: For the conditions of `jax.nn.dot_product_attention` and of `noise`, or if `implementation` is
        "cudnn" while weights are dropped.
      TypeError: If an array is not floating point, `dropout_rate` is neither a number nor an array, or `dropout_key` is
        not one key.

    Examples:
      >>> q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 4, 8))
      >>> y = jaxdrop.dot_product_attention(q, k, v, is_causal=True, dropout_rate=0.1, dropout_key=jax.random.key(1))
      >>> y.shape
      (2, 5, 4, 8)

    References:
      Vaswani et al., `Attention is all you need <https://arxiv.org/abs/1706.03762>`_, 2017
    """
    query, key, value = (
        _checks.real(name, array) for name, array in (("query", query), ("key", key), ("value", value))
    )
    limits = _Limits(is_causal, query_seq_lengths, key_value_seq_lengths, local_window_size)

    def plain(*arrays: Any, implementation: Any = None) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):  # which jax's own function needs for bfloat16
            return jax.nn.dot_product_attention(*arrays, scale=scale, implementation=implementation, **limits._asdict())

    if _checks.static_rate("dropout_rate", dropout_rate) == 0:
        return plain(query, key, value, bias, mask, implementation=implementation)
    jax.eval_shape(plain, query, key, value, bias, mask)  # which checks all of them
    _checks.one_of("implementation", implementation or "xla", ("xla",))
    with_batch = query.ndim == 4
    query, key, value = (x if with_batch else x[None] for x in (query, key, value))
    weights = noise(dropout_key, _weights(query, key, bias, mask, scale, limits), dropout_rate)
    y = _weighted(weights, value)
    if query_seq_lengths is not None:
        inside = jnp.arange(y.shape[1])[None] < jnp.asarray(query_seq_lengths)[:, None]
        y = jnp.where(inside[..., None, None], y, jnp.zeros((), y.dtype))
    return y if with_batch else y[0]


class _Limits(NamedTuple):
    """What `dot_product_attention` calls so."""

    is_causal: bool
    query_seq_lengths: jax.typing.ArrayLike | None
    key_value_seq_lengths: jax.typing.ArrayLike | None
    local_window_size: int | tuple[int, int] | None

    def allowed(self, queries: int, keys: int) -> Iterator[jax.Array | np.ndarray]:
        """Yields boolean arrays, of four axes, of where a query may attend to a key."""
        row, column = np.arange(queries)[:, None], np.arange(keys)
        if self.is_causal:
            yield (column <= row)[None, None]
        if self.local_window_size is not None:
            window = self.local_window_size
            left, right = (window, window) if isinstance(window, int) else window
            yield ((row - left <= column) & (column <= row + right))[None, None]
        if self.query_seq_lengths is not None:
            yield (row[None] < jnp.asarray(self.query_seq_lengths)[:, None, None])[:, None]
        if self.key_value_seq_lengths is not None:
            yield (column[None, None] < jnp.asarray(self.key_value_seq_lengths)[:, None, None])[:, None]


def _weights(query: jax.Array, key: jax.Array, bias, mask, scale: float | None, limits: _Limits) -> jax.Array:
    """Returns the softmax (batch, heads, queries, keys) in the dtype of the keys."""
    batch, queries, heads, features = query.shape
    keys, groups = key.shape[1:3]
    dtype = _masks.wide(query.dtype)
    grouped = query.reshape(batch, queries, groups, heads // groups, features)
    logits = jnp.einsum("btkgh,bskh->bkgts", grouped, key, preferred_element_type=dtype)
    logits = logits.reshape(batch, heads, queries, keys)
    logits = logits * jnp.asarray(features**-0.5 if scale is None else scale, dtype)
    if bias is not None:
        logits = logits + _four_axes(bias, logits.shape).astype(dtype)
    masks = [] if mask is None else [mask]
    for allowed in (*masks, *limits.allowed(queries, keys)):
        # Not minus infinity, so that a query with no key at all has weights.
        logits = jnp.where(_four_axes(allowed, logits.shape), logits, 0.7 * float(jnp.finfo(dtype).min))
    return jax.nn.softmax(logits, axis=-1).astype(key.dtype)


def _four_axes(x: jax.typing.ArrayLike, shape: Sequence[int]) -> jax.Array:
    """Returns `x` with leading ones broadcast to `shape`, of four axes or more."""
    array = jnp.asarray(x)
    return jnp.broadcast_to(array.reshape(*(1,) * (len(shape) - array.ndim), *array.shape), shape)


def _weighted(weights: jax.Array, value: jax.Array) -> jax.Array:
    batch, heads, queries, keys = weights.shape
    groups, features = value.shape[2:]
    weights = weights.reshape(batch, groups, heads // groups, queries, keys)
    return jnp.einsum("bkgts,bskh->btkgh", weights, value).reshape(batch, queries, heads, features)


def attention_fn(noise: Callable[..., jax.Array] = dropout) -> Callable[..., jax.Array]:
    """Returns `dot_product_attention` in the form that flax's multi-head attention modules call.

    It honours what they pass: `dropout_rate`, `deterministic`, `dropout_rng` and `broadcast_dropout`, which shares the
    decisions over batch and heads and is their default: set it to False for masks as in the papers. Any number of batch
    axes will do.

    Args:
      noise: Noise on the weights, called with key, weights, rate and, if `broadcast_dropout`, `broadcast_dims`.

    Returns:
      A function for `attention_fn` of `flax.linen.MultiHeadDotProductAttention` and `flax.nnx.MultiHeadAttention`. It
      raises ValueError where it is asked for what it does not do: to sow the weights, or to sum at a `precision`.

    Examples:
      >>> layer = nn.MultiHeadDotProductAttention(
      ...     num_heads=2, dropout_rate=0.1, broadcast_dropout=False, attention_fn=jaxdrop.attention_fn()
      ... )
      >>> x = jnp.ones((3, 5, 8))
      >>> variables = layer.init(jax.random.key(0), x, deterministic=True)
      >>> layer.apply(variables, x, deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (3, 5, 8)
    """

    def attend(
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        bias: jax.Array | None = None,
        mask: jax.Array | None = None,
        broadcast_dropout: bool = True,
        dropout_rng: jax.Array | None = None,
        dropout_rate: float = 0.0,
        deterministic: bool = False,
        dtype: jax.typing.DTypeLike | None = None,
        precision: Any = None,
        module: Any = None,
        is_causal: bool = False,
    ) -> jax.Array:
        for name, given in (("precision", precision), ("sow_weights", module)):
            _checks.unused(name, given, "with jaxdrop's attention")
        dtype = jnp.result_type(query, key, value) if dtype is None else dtype
        batch = query.shape[:-3]
        query, key, value = (x.astype(dtype).reshape(-1, *x.shape[-3:]) for x in (query, key, value))

        def four_axes(x: jax.Array | None) -> jax.Array | None:
            if x is None:
                return None
            x = x.reshape(*(1,) * (3 - x.ndim), *x.shape)
            return _four_axes(x, (*batch, *x.shape[-3:])).reshape(-1, *x.shape[-3:])

        shared = {"broadcast_dims": (0, 1)} if broadcast_dropout else {}
        y = dot_product_attention(
            query,
            key,
            value,
            four_axes(bias),
            None if mask is None else four_axes(mask.astype(bool)),
            is_causal=is_causal,
            dropout_rate=0.0 if deterministic else dropout_rate,
            dropout_key=dropout_rng,
            noise=functools.partial(noise, **shared),
        )
        return y.reshape(*batch, *y.shape[1:])

    return attend
