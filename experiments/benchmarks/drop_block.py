r"""Time and memory of DropBlock, beside the ways to write it down.

Command:  python -m experiments.benchmarks.drop_block [--sizes 32x32x32x64 32x56x56x64] [--block 7] [--rate 0.1]
          [--repeats 15] [--out FILE.json]

Five functions on a (batch, height, width, channels) array in float32: ours and

- three that draw with `jax.random.bernoulli` where blocks start and mark what these cover by a maximum over windows, a
  sum of shifted copies, or a convolution of each channel with a block of ones;
- the formulas of the authors' code in tensorflow/tpu: noise for every entry, a minimum over windows, and a rescaling
  by what survives in the whole batch.

All but the last rescale each example by what survives in it. Forward, and forward and backward (the vector-Jacobian
product with a given cotangent, in one jitted function that returns the output and the gradient). The temporary memory
is what XLA's compiled function allocates beside its inputs and outputs. In a network the layers that follow run between
the forward and the backward pass; what waits for them meanwhile is the memory held, in bytes for each entry of the
input.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

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

Layer = Callable[[jax.Array, jax.Array, float, int], jax.Array]

OURS = "jaxdrop"
DIRECTIONS = ("forward", "forward+backward")
COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.1f}",
    "min..max": "{min_ms:.1f}..{max_ms:.1f}",
    "x jaxdrop": "{time_vs_ours:.2f}",
    "temporary MiB": "{temporary_mib:.1f}",
    "memory x jaxdrop": "{memory_vs_ours:.1f}",
    "held bytes per entry": "{held_bytes:.2f}",
}


def starts(key: jax.Array, x: jax.Array, rate: float, block: int) -> jax.Array:
    """Draws where blocks start: ones among zeros, wherever a whole block fits."""
    batch, height, width, channels = x.shape
    rows, columns = height - block + 1, width - block + 1
    gamma = rate * height * width / (block**2 * rows * columns)
    return jax.random.bernoulli(key, gamma, (batch, rows, columns, channels)).astype(x.dtype)


def rescaled(x: jax.Array, mask: jax.Array) -> jax.Array:
    return x * mask * (mask[0].size / mask.sum((1, 2, 3), keepdims=True))


def max_window(key: jax.Array, x: jax.Array, rate: float, block: int) -> jax.Array:
    beside = (block - 1, block - 1)
    window = (1, block, block, 1)
    padding = ((0, 0), beside, beside, (0, 0))
    dropped = lax.reduce_window(starts(key, x, rate, block), 0.0, lax.max, window, (1, 1, 1, 1), padding)
    return rescaled(x, 1 - dropped)


def shifted_copies(key: jax.Array, x: jax.Array, rate: float, block: int) -> jax.Array:
    copies = starts(key, x, rate, block)
    for axis in (1, 2):
        pads = [[(i, block - 1 - i) if axis == other else (0, 0) for other in range(4)] for i in range(block)]
        copies = sum(jnp.pad(copies, pad) for pad in pads)
    return rescaled(x, jnp.equal(copies, 0).astype(x.dtype))


def convolution(key: jax.Array, x: jax.Array, rate: float, block: int) -> jax.Array:
    channels = x.shape[-1]
    covered = lax.conv_general_dilated(
        starts(key, x, rate, block),
        jnp.ones((block, block, 1, channels), x.dtype),
        window_strides=(1, 1),
        padding=[(block - 1, block - 1)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )
    return rescaled(x, (covered < 0.5).astype(x.dtype))


def authors(key: jax.Array, x: jax.Array, rate: float, block: int) -> jax.Array:
    """Blocks are centred where their noise is below gamma, and end with it at the border."""
    _, height, width, _ = x.shape
    gamma = rate * height * width / (block**2 * (height - block + 1) * (width - block + 1))
    row, column = jnp.arange(height)[:, None, None], jnp.arange(width)[:, None]
    first, beyond = block // 2, (block - 1) // 2
    fits = (row >= first) & (row < height - beyond) & (column >= first) & (column < width - beyond)
    centres = fits & (jax.random.uniform(key, x.shape) < gamma)
    mask = 1 - centres.astype(x.dtype)
    mask = lax.reduce_window(mask, jnp.inf, lax.min, (1, block, block, 1), (1, 1, 1, 1), "SAME")
    return x * mask * (mask.size / mask.sum())


LAYERS: dict[str, Layer] = {
    OURS: jaxdrop.drop_block,
    "max window": max_window,
    "shifted copies": shifted_copies,
    "convolution": convolution,
    "tensorflow/tpu": authors,
}


def contestants(direction: str, shape: tuple[int, ...], rate: float, block: int) -> list[Contestant]:
    """Returns every function, run `forward` or `forward+backward` on the same array."""
    x_key, cotangent_key = jax.random.split(jax.random.key(0))
    x, cotangent = jax.random.normal(x_key, shape), jax.random.normal(cotangent_key, shape)

    def run(name: str, layer: Layer) -> Contestant:
        def forward(x: jax.Array, key: jax.Array) -> jax.Array:
            return layer(key, x, rate, block)

        def forward_backward(x: jax.Array, cotangent: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            y, pullback = jax.vjp(lambda x: forward(x, key), x)
            return y, *pullback(cotangent)

        return jitted(name, forward, x) if direction == "forward" else jitted(name, forward_backward, x, cotangent)

    return [run(name, layer) for name, layer in LAYERS.items()]


def held_per_entry(layer: Layer, x: jax.Array, rate: float, block: int) -> float:
    return held_bytes(lambda x: layer(jax.random.key(0), x, rate, block), x) / x.size


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its tables and returns what `--out` writes."""
    parser = command_line("drop_block", __doc__, repeats=15)
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=parse_shape,
        default=[(32, 32, 32, 64), (32, 56, 56, 64)],
        help="shapes of the input, such as 32x56x56x64",
    )
    parser.add_argument("--block", type=int, default=7, help="height and width of a block")
    parser.add_argument("--rate", type=float, default=0.1)
    args = parser.parse_args(argv)

    report = start_report("drop_block", args)
    for shape in args.sizes:
        x = jnp.ones(shape)
        held = {name: held_per_entry(layer, x, args.rate, args.block) for name, layer in LAYERS.items()}
        for direction in DIRECTIONS:
            case = f"drop_block({args.rate}, {args.block}), {format_shape(shape)} float32, {direction}"
            rows = timed_rows(case, contestants(direction, shape, args.rate, args.block), args.repeats)
            ours = next(row for row in rows if row["name"] == OURS)
            for row in rows:
                row["time_vs_ours"] = ratio(row["median_ms"], ours["median_ms"])
                row["held_bytes"] = held[row["name"]]
                row["memory_vs_ours"] = ratio(row["temporary_mib"], ours["temporary_mib"])
            print_table(case, rows, COLUMNS)
            report["rows"] += rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
