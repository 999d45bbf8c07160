r"""What every method costs: time beside `dropout`'s, and what it holds for the backward pass.

Command:  python -m experiments.benchmarks.methods [--shape 32x32x32x64] [--repeats 15] [--out FILE.json]

Each method is applied to a (batch, height, width, channels) array in float32. The time is that of one jitted function
that returns the output and the vector-Jacobian product with a given cotangent. What is held are the arrays that the
function kept between its forward and its backward pass, in bytes for each entry of the input; a mask that is drawn
again is not among them. Methods on weights and on whole layers come with a dense layer from channels to as many, those
in recurrent cells with an LSTM of as many units on sequences (batch, height, channels), and attention with itself on
the same sequences in 4 heads; each is compared with that alone.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxdrop
import jaxdrop.linen
from experiments.benchmarks._timing import (
    Contestant,
    command_line,
    format_shape,
    held_bytes,
    jitted,
    parse_shape,
    print_table,
    ratio,
    start_report,
    timed_rows,
    write_report,
)
from jaxdrop import variational

Method = Callable[[jax.Array, jax.Array], jax.Array]

RATE = 0.1
METHODS: dict[str, Method] = {
    "dropout": functools.partial(jaxdrop.dropout, rate=RATE),
    "standard_dropout": functools.partial(jaxdrop.standard_dropout, rate=RATE),
    "gaussian_dropout": functools.partial(jaxdrop.gaussian_dropout, rate=RATE),
    "uniform_dropout": functools.partial(jaxdrop.uniform_dropout, beta=RATE),
    "alpha_dropout": functools.partial(jaxdrop.alpha_dropout, rate=RATE),
    "feature_alpha_dropout": functools.partial(jaxdrop.feature_alpha_dropout, rate=RATE),
    "max_drop": functools.partial(jaxdrop.max_drop, rate=RATE),
    "standout": lambda key, x: jaxdrop.standout(key, x, x),
    "spatial_dropout": functools.partial(jaxdrop.spatial_dropout, rate=RATE),
    "drop_block": functools.partial(jaxdrop.drop_block, rate=RATE, block_size=7),
    "cutout": functools.partial(jaxdrop.cutout, rate=RATE, size=16),
    "patch_dropout": functools.partial(jaxdrop.patch_dropout, rate=RATE),
    "stochastic_depth": functools.partial(jaxdrop.stochastic_depth, rate=RATE),
    "shake_drop": functools.partial(jaxdrop.shake_drop, rate=RATE),
    "fractal_drop_path": lambda key, x: jaxdrop.fractal_drop_path(key, [x, -x], RATE),
    "locked_dropout": functools.partial(jaxdrop.locked_dropout, rate=RATE),
    "embedding_dropout": lambda key, x: jaxdrop.embedding_dropout(key, x, jnp.zeros(x.shape[:-1], int), RATE),
    "zoneout": lambda key, x: jaxdrop.zoneout(key, x, -x, RATE),
    "drop_attention": functools.partial(jaxdrop.drop_attention, rate=RATE),
    "drop_head": functools.partial(jaxdrop.drop_head, rate=RATE),
    "gaussian_noise": lambda key, x: variational.gaussian_noise(key, x, jnp.array(-2.0)),
    "concrete_dropout": lambda key, x: variational.concrete_dropout(key, x, variational.logit_rate(RATE)),
    "log_normal_noise": lambda key, x: variational.log_normal_noise(
        key, x, variational.log_normal_factors(x.shape[-1])
    ),
    "masksembles": lambda key, x: jaxdrop.masksembles(x, jaxdrop.masksembles_masks(x.shape[-1], 4, 2.0)),
}


def layers(channels: int) -> dict[str, Method]:
    """Returns the methods on weights and layers, and the dense layer that they are compared to."""
    kernel = jax.random.normal(jax.random.key(1), (channels, channels))

    def weight_drop(key: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.matmul(x, jaxdrop.weight_drop(key, {"kernel": kernel}, RATE)["kernel"])

    return {
        "dense": lambda key, x: jnp.matmul(x, kernel),
        "drop_connect_dense": lambda key, x: jaxdrop.drop_connect_dense(key, x, kernel, RATE),
        "drop_connect_dense, one mask": lambda key, x: jaxdrop.drop_connect_dense(key, x, kernel, RATE, mode="batch"),
        "weight_drop": weight_drop,
        "noisy_dense": lambda key, x: variational.noisy_dense(key, x, variational.additive_weights(kernel)),
        "layer_drop": lambda key, x: jaxdrop.layer_drop(key, lambda x: jnp.matmul(x, kernel), x, RATE),
    }


def recurrent(channels: int) -> dict[str, Method]:
    """Returns LSTMs with the methods in them, and without."""
    lstm = nn.OptimizedLSTMCell(channels)
    variables = nn.RNN(lstm).init(jax.random.key(1), jnp.ones((1, 1, channels)))

    def run(cell: nn.RNNCellBase) -> Method:
        rnn = nn.RNN(cell, split_rngs={"params": False, "dropout": True})
        return lambda key, x: rnn.apply(variables, x, rngs={"dropout": key})  # pyright: ignore[reportReturnType]

    cells = jaxdrop.linen
    return {
        "lstm": run(lstm),
        "VariationalDropoutCell": run(cells.VariationalDropoutCell(lstm, RATE, RATE, deterministic=False)),
        "RecurrentDropoutCell": run(cells.RecurrentDropoutCell(lstm, RATE, deterministic=False)),
        "RecurrentDropoutCell, per step": run(
            cells.RecurrentDropoutCell(lstm, RATE, per_step=True, deterministic=False)
        ),
        "ZoneoutCell": run(cells.ZoneoutCell(lstm, RATE, memory_rate=RATE, deterministic=False)),
    }


def attention() -> dict[str, Method]:
    """Returns attention with the methods on its weights, and without."""

    def run(rate: float, **options: Any) -> Method:
        def attend(key: jax.Array, x: jax.Array) -> jax.Array:
            heads = x.reshape(*x.shape[:2], 4, -1)
            return jaxdrop.dot_product_attention(heads, heads, heads, dropout_rate=rate, dropout_key=key, **options)

        return attend

    return {
        "attention": run(0.0),
        "attention, dropout": run(RATE),
        "attention, drop_attention": run(RATE, noise=jaxdrop.drop_attention),
        "attention, drop_head": run(RATE, noise=jaxdrop.drop_head),
    }


COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.2f}",
    "min..max": "{min_ms:.2f}..{max_ms:.2f}",
    "times": "{time_vs_baseline:.2f}",
    "that of": "{baseline}",
    "temporary MiB": "{temporary_mib:.1f}",
    "held bytes per entry": "{held_bytes:.2f}",
}


def contestant(name: str, method: Method, x: jax.Array) -> Contestant:
    """Returns the method's forward and backward pass as one jitted call."""

    def forward_backward(x: jax.Array, cotangent: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pullback = jax.vjp(lambda x: method(key, x), x)
        return y, *pullback(cotangent)

    output = jax.eval_shape(method, jax.random.key(0), x)
    return jitted(name, forward_backward, x, jax.random.normal(jax.random.key(2), output.shape))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its table and returns what `--out` writes."""
    parser = command_line("methods", __doc__, repeats=15)
    parser.add_argument("--shape", type=parse_shape, default=(32, 32, 32, 64), help="of the input")
    args = parser.parse_args(argv)

    report = start_report("methods", args)
    x = jax.random.normal(jax.random.key(0), args.shape)
    channels, sequences = args.shape[-1], x[:, :, 0]
    groups = {
        "dropout": (METHODS, x),
        "dense": (layers(channels), x),
        "lstm": (recurrent(channels), sequences),
        "attention": (attention(), sequences),
    }
    case = f"forward+backward, {format_shape(args.shape)} float32, rate {RATE}"
    contestants = [contestant(name, method, x) for group, x in groups.values() for name, method in group.items()]
    rows = timed_rows(case, contestants, args.repeats)
    by_name = {row["name"]: row for row in rows}
    for baseline, (methods, x) in groups.items():
        for name, method in methods.items():
            row = by_name[name]
            row["baseline"] = baseline
            row["time_vs_baseline"] = ratio(row["median_ms"], by_name[baseline]["median_ms"])
            row["held_bytes"] = held_bytes(lambda x, method=method: method(jax.random.key(0), x), x) / x.size
    print_table(case, rows, COLUMNS)
    report["rows"] = rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
