r"""Time and memory of standard dropout, beside a bare multiply and five other libraries' dropout.

Command:  python -m experiments.benchmarks.dropout [--sizes 1024x1024 4096x4096] [--repeats 15] [--out FILE.json]

Two parts, in one run so that the figures compare:

- the layer alone: forward, and forward and backward (the vector-Jacobian product with a given cotangent, in one jitted
  function that returns the output and the gradient), in float32 and bfloat16. PyTorch runs eagerly, as its users do.
- one training step of a deep MLP: mean squared error, gradient and SGD update, in float32.

The temporary memory is what XLA's compiled function allocates beside its inputs and outputs.
"""

from collections.abc import Sequence
from typing import Any

import jax

from experiments.benchmarks import _contestants as names
from experiments.benchmarks import _train_step
from experiments.benchmarks._timing import (
    Contestant,
    command_line,
    format_shape,
    jitted,
    parse_shape,
    print_table,
    ratio,
    start_report,
    timed_rows,
    write_report,
)

DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "forward+backward")
LAYER_COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.2f}",
    "min..max": "{min_ms:.2f}..{max_ms:.2f}",
    "x flax": "{time_vs_flax:.2f}",
    "x multiply": "{time_vs_multiply:.1f}",
    "temporary MiB": "{temporary_mib:.1f}",
}
STEP_COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.1f}",
    "min..max": "{min_ms:.1f}..{max_ms:.1f}",
    "over no dropout": "{over_no_dropout_percent:+.1f} %",
    "x flax": "{time_vs_flax:.2f}",
    "temporary MiB": "{temporary_mib:.1f}",
    "memory x flax": "{memory_vs_flax:.2f}",
}


def layer_contestants(direction: str, rate: float, shape: tuple[int, ...], dtype: str) -> list[Contestant]:
    """Returns every library's layer, run `forward` or `forward+backward` on the same array."""
    x_key, cotangent_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, shape, dtype)
    cotangent = jax.random.normal(cotangent_key, shape, dtype)

    def run(layer: names.Layer, name: str) -> Contestant:
        def forward(x: jax.Array, key: jax.Array) -> jax.Array:
            return layer(key, x)

        def forward_backward(x: jax.Array, cotangent: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            y, pullback = jax.vjp(lambda x: layer(key, x), x)
            return y, *pullback(cotangent)

        return jitted(name, forward, x) if direction == "forward" else jitted(name, forward_backward, x, cotangent)

    contestants = [
        Contestant(name, None) if layer is None else run(layer, name) for name, layer in names.jax_layers(rate).items()
    ]
    return [*contestants, Contestant("torch (eager)", names.torch_calls(rate, shape, dtype)[direction])]


def layer_rows(case: str, contestants: Sequence[Contestant], repeats: int) -> list[dict[str, Any]]:
    """Returns the timed rows with the ratios of the times to flax's and to the multiply's."""
    rows = timed_rows(case, contestants, repeats)
    median = {row["name"]: row["median_ms"] for row in rows}
    for row in rows:
        row["time_vs_flax"] = ratio(row["median_ms"], median[names.FLAX])
        row["time_vs_multiply"] = ratio(row["median_ms"], median[names.MULTIPLY])
    return rows


def step_rows(case: str, contestants: Sequence[Contestant], repeats: int) -> list[dict[str, Any]]:
    """Returns the timed rows with what dropout adds to the step, and the time and memory beside flax's."""
    rows = timed_rows(case, contestants, repeats)
    by_name = {row["name"]: row for row in rows}
    flax, without = by_name[names.FLAX], by_name[_train_step.NO_DROPOUT]
    for row in rows:
        row["time_vs_flax"] = ratio(row["median_ms"], flax["median_ms"])
        row["memory_vs_flax"] = ratio(row["temporary_mib"], flax["temporary_mib"])
        row["over_no_dropout_percent"] = 100 * (row["median_ms"] / without["median_ms"] - 1)
    return rows


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its tables and returns what `--out` writes."""
    parser = command_line("dropout", __doc__, repeats=15)
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=parse_shape,
        default=[(1024, 1024), (4096, 4096)],
        help="shapes of the layer's input, such as 1024x1024",
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES, help="of the layer's input")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--layers", type=int, default=16, help="of the MLP; 0 skips the training step")
    parser.add_argument("--width", type=int, default=512, help="of the MLP")
    parser.add_argument("--batch", type=int, default=4096, help="of the MLP")
    args = parser.parse_args(argv)

    names.torch_calls(args.rate, (1,), "float32")  # imports torch, so that its thread count is known
    report = start_report("dropout", args)
    for shape in args.sizes:
        for dtype in args.dtypes:
            for direction in DIRECTIONS:
                case = f"dropout({args.rate}), {format_shape(shape)} {dtype}, {direction}"
                rows = layer_rows(case, layer_contestants(direction, args.rate, shape, dtype), args.repeats)
                print_table(case, rows, LAYER_COLUMNS)
                report["rows"] += rows
    if args.layers:
        case = f"training step, {args.layers} layers of {args.width}, batch {args.batch}, dropout({args.rate})"
        rows = step_rows(case, _train_step.contestants(args.rate, args.layers, args.width, args.batch), args.repeats)
        print_table(case, rows, STEP_COLUMNS)
        report["rows"] += rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
