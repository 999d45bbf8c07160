r"""What every method costs: time beside `dropout`'s, and what it holds for the backward pass.

Command:  python -m experiments.benchmarks.methods [--shape 32x32x32x64] [--repeats 15] [--out FILE.json]

Each method is applied to a (batch, height, width, channels) array in float32. The time is that of one jitted function
that returns the output and the vector-Jacobian product with a given cotangent. What is held are the arrays that the
function kept between its forward and its backward pass, in bytes for each entry of the input; a mask that is drawn
again is not among them. Methods on weights and on whole layers come with a dense layer from channels to as many, and
with that layer alone to compare them to.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jaxdrop
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
        "layer_drop": lambda key, x: jaxdrop.layer_drop(key, lambda x: jnp.matmul(x, kernel), x, RATE),
    }


COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.2f}",
    "min..max": "{min_ms:.2f}..{max_ms:.2f}",
    "x dropout": "{time_vs_dropout:.2f}",
    "x dense": "{time_vs_dense:.2f}",
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
    methods = METHODS | layers(args.shape[-1])
    case = f"forward+backward, {format_shape(args.shape)} float32, rate {RATE}"
    rows = timed_rows(case, [contestant(name, method, x) for name, method in methods.items()], args.repeats)
    median = {row["name"]: row["median_ms"] for row in rows}
    for row in rows:
        row["time_vs_dropout"] = ratio(row["median_ms"], median["dropout"])
        row["time_vs_dense"] = None if row["name"] in METHODS else ratio(row["median_ms"], median["dense"])
        method = methods[row["name"]]
        row["held_bytes"] = held_bytes(lambda x, method=method: method(jax.random.key(0), x), x) / x.size
    print_table(case, rows, COLUMNS)
    report["rows"] = rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
