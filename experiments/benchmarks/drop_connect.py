r"""Time and memory of DropConnect, beside the naive version with all masks in memory and a plain dense layer.

Command:  python -m experiments.benchmarks.drop_connect [--batch 128] [--widths 1024 1024] [--rates 0.5 0.1]
              [--repeats 5] [--out FILE.json]

Forward, and forward and backward (the vector-Jacobian product for inputs and weights with a given cotangent, in one
jitted function), in float32. The naive version is what one writes first in JAX: `jax.vmap` over the examples of
`x @ (jax.random.bernoulli(...) * kernel)`. The temporary memory is what XLA's compiled function allocates beside its
inputs and outputs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import jaxdrop
from experiments.benchmarks._timing import (
    Contestant,
    command_line,
    jitted,
    print_table,
    ratio,
    start_report,
    timed_rows,
    write_report,
)

Layer = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

DENSE = "dense layer, nothing dropped"
NAIVE = "naive, a mask for each example"
DIRECTIONS = ("forward", "forward+backward")
COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.2f}",
    "min..max": "{min_ms:.2f}..{max_ms:.2f}",
    "x naive": "{time_vs_naive:.3f}",
    "x dense": "{time_vs_dense:.1f}",
    "temporary MiB": "{temporary_mib:.1f}",
}


def layers(rate: float) -> dict[str, Layer]:
    """Returns what is compared, as functions of a key, inputs and a kernel."""

    def naive(key: jax.Array, x: jax.Array, kernel: jax.Array) -> jax.Array:
        def one(key: jax.Array, x: jax.Array) -> jax.Array:
            return x @ (jax.random.bernoulli(key, 1 - rate, kernel.shape).astype(kernel.dtype) * kernel)

        return jax.vmap(one)(jax.random.split(key, len(x)), x)

    return {
        "jaxdrop, a mask for each example": lambda key, x, kernel: jaxdrop.drop_connect_dense(key, x, kernel, rate),
        NAIVE: naive,
        "jaxdrop, one mask": lambda key, x, kernel: jaxdrop.drop_connect_dense(key, x, kernel, rate, mode="batch"),
        DENSE: lambda key, x, kernel: jnp.matmul(x, kernel),
    }


def contestant(name: str, layer: Layer, direction: str, arrays: Sequence[jax.Array]) -> Contestant:
    """Returns the layer's `forward` or `forward+backward` as one jitted call."""
    x, kernel, cotangent = arrays

    def forward(x: jax.Array, kernel: jax.Array, key: jax.Array) -> jax.Array:
        return layer(key, x, kernel)

    def forward_backward(x: jax.Array, kernel: jax.Array, cotangent: jax.Array, key: jax.Array) -> tuple[Any, ...]:
        y, pullback = jax.vjp(lambda x, kernel: layer(key, x, kernel), x, kernel)
        return y, *pullback(cotangent)

    if direction == "forward":
        return jitted(name, forward, x, kernel)
    return jitted(name, forward_backward, x, kernel, cotangent)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its tables and returns what `--out` writes."""
    parser = command_line("drop_connect", __doc__, repeats=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--widths", nargs=2, type=int, default=(1024, 1024), help="inputs and outputs of the layer")
    parser.add_argument("--rates", nargs="+", type=float, default=(0.5, 0.1))
    args = parser.parse_args(argv)

    report = start_report("drop_connect", args)
    inputs, outputs = args.widths
    shapes = ((args.batch, inputs), (inputs, outputs), (args.batch, outputs))
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arrays = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
    for rate in args.rates:
        for direction in DIRECTIONS:
            case = f"DropConnect({rate}), {args.batch} x {inputs} -> {outputs} float32, {direction}"
            contestants = [contestant(name, layer, direction, arrays) for name, layer in layers(rate).items()]
            rows = timed_rows(case, contestants, args.repeats)
            median = {row["name"]: row["median_ms"] for row in rows}
            for row in rows:
                row["time_vs_naive"] = ratio(row["median_ms"], median[NAIVE])
                row["time_vs_dense"] = ratio(row["median_ms"], median[DENSE])
            print_table(case, rows, COLUMNS)
            report["rows"] += rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
