r"""What every method costs: time beside `dropout`'s, and what it holds for the backward pass.

Command:  python -m experiments.benchmarks.methods [--shape 32x32x32x64] [--repeats 15] [--out FILE.json]

Each method is applied to a (batch, height, width, channels) array in float32. The time is that of one jitted function
that returns the output and the vector-Jacobian product with a given cotangent. What is held are the arrays that the
function kept between its forward and its backward pass, in bytes for each entry of the input; a mask that is drawn
again is not among them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

import jaxdrop
from experiments.benchmarks._timing import (
    Contestant,
    command_line,
    jitted,
    parse_shape,
    print_table,
    ratio,
    start_report,
    timed_rows,
    write_report,
)

Method = Callable[[jax.Array, jax.Array], jax.Array]

METHODS: dict[str, Method] = {
    "dropout": lambda key, x: jaxdrop.dropout(key, x, 0.1),
    "standard_dropout": lambda key, x: jaxdrop.standard_dropout(key, x, 0.1),
    "gaussian_dropout": lambda key, x: jaxdrop.gaussian_dropout(key, x, 0.1),
    "uniform_dropout": lambda key, x: jaxdrop.uniform_dropout(key, x, 0.1),
    "alpha_dropout": lambda key, x: jaxdrop.alpha_dropout(key, x, 0.1),
    "feature_alpha_dropout": lambda key, x: jaxdrop.feature_alpha_dropout(key, x, 0.1),
    "spatial_dropout": lambda key, x: jaxdrop.spatial_dropout(key, x, 0.1),
    "drop_block": lambda key, x: jaxdrop.drop_block(key, x, 0.1, 7),
    "stochastic_depth": lambda key, x: jaxdrop.stochastic_depth(key, x, 0.1),
}
COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.2f}",
    "min..max": "{min_ms:.2f}..{max_ms:.2f}",
    "x dropout": "{time_vs_dropout:.2f}",
    "temporary MiB": "{temporary_mib:.1f}",
    "held bytes per entry": "{held_bytes:.2f}",
}


def contestant(name: str, method: Method, x: jax.Array, cotangent: jax.Array) -> Contestant:
    """Returns the method's forward and backward pass as one jitted call."""

    def forward_backward(x: jax.Array, cotangent: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pullback = jax.vjp(lambda x: method(key, x), x)
        return y, *pullback(cotangent)

    return jitted(name, forward_backward, x, cotangent)


def held_bytes(method: Method, x: jax.Array) -> float:
    """Returns the bytes that wait for the backward pass, for each entry of `x`."""
    _, pullback = jax.vjp(lambda x: method(jax.random.key(0), x), x)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(pullback)) / x.size


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its table and returns what `--out` writes."""
    parser = command_line("methods", __doc__, repeats=15)
    parser.add_argument("--shape", type=parse_shape, default=(32, 32, 32, 64), help="of the input")
    args = parser.parse_args(argv)

    report = start_report("methods", args)
    x_key, cotangent_key = jax.random.split(jax.random.key(0))
    x, cotangent = jax.random.normal(x_key, args.shape), jax.random.normal(cotangent_key, args.shape)
    case = f"forward+backward, {'x'.join(map(str, args.shape))} float32, rate 0.1"
    contestants = [contestant(name, method, x, cotangent) for name, method in METHODS.items()]
    rows = timed_rows(case, contestants, args.repeats)
    baseline = next(row["median_ms"] for row in rows if row["name"] == "dropout")
    for row in rows:
        row["time_vs_dropout"] = ratio(row["median_ms"], baseline)
        row["held_bytes"] = held_bytes(METHODS[row["name"]], x)
    print_table(case, rows, COLUMNS)
    report["rows"] = rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
