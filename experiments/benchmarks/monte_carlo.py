r"""Time and memory of 100 Monte Carlo samples, beside the three loops a user would otherwise write.

Command:  python -m experiments.benchmarks.monte_carlo [--sizes ...] [--samples 100] [--chunks ...] [--repeats 5]
          [--out FILE.json]

The mean and variance over samples of an MLP's outputs, by `jaxdrop.monte_carlo` at its default chunk and at others, and
by a Python loop over a jitted step, `jax.lax.map` and `jax.vmap` over the keys; and by `jaxdrop.monte_carlo` of
sub-networks, whose masks all rows share, so that dropped units are not computed. Then the same with flax's own Dropout
in the model, at the default chunk. Ratios are to the fastest of the three with the same Dropout, to the fastest of the
three with flax's, and of the memory to vmap's with the same Dropout.

The temporary memory is what XLA's compiled function allocates beside its inputs and outputs; the Python loop's is that
of one step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxdrop
import jaxdrop.linen
from experiments.benchmarks._timing import (
    Contestant,
    command_line,
    jitted,
    parse_shape,
    print_table,
    ratio,
    start_report,
    temporary_mib,
    timed_rows,
    write_report,
)

CHUNKS = (1, 2, 5, 10, 20, 50)
LOOP, MAP, VMAP = RIVALS = ("Python loop", "lax.map", "vmap")
COLUMNS = {
    "": "{name}",
    "median ms": "{median_ms:.1f}",
    "min..max": "{min_ms:.1f}..{max_ms:.1f}",
    "x best of three": "{time_vs_best:.2f}",
    "x best of three, flax": "{time_vs_best_flax:.2f}",
    "temporary MiB": "{temporary_mib:.2f}",
    "memory x vmap": "{memory_vs_vmap:.3f}",
}


class Size(NamedTuple):
    """Rows of input and widths of an MLP."""

    rows: int
    inputs: int
    hidden: int
    outputs: int


class MLP(nn.Module):
    """Two hidden layers of dense, relu and dropout, then a dense one."""

    hidden: int
    outputs: int
    dropout: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Dense(self.hidden)(x))
            x = self.dropout()(x, deterministic)
        return nn.Dense(self.outputs)(x)


def contestants(size: Size, rate: float, num_samples: int, chunks: Sequence[int], library: str) -> list[Contestant]:
    """Returns ours and the three rivals on one model, with `library`'s Dropout (`jaxdrop` or `flax`) in it."""
    dropout = {"jaxdrop": jaxdrop.linen.Dropout, "flax": nn.Dropout}[library]
    model = MLP(size.hidden, size.outputs, partial(dropout, rate))
    x_key, init_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, (size.rows, size.inputs))
    variables = jax.jit(model.init)(init_key, x)
    rivals = [
        python_loop(model, variables, x, num_samples),
        jitted(MAP, partial(map_over_keys, model, num_samples), variables, x),
        jitted(VMAP, partial(vmap_over_keys, model, num_samples), variables, x),
    ]
    sample = jaxdrop.linen.sampler(model, variables, x)
    ours = [monte_carlo(sample, num_samples, chunk_size) for chunk_size in (None, *chunks)]
    if library == "jaxdrop":
        ours.append(monte_carlo(sub_networks(variables, x, rate), num_samples, None, "sub-networks"))
    return [contestant._replace(name=f"{contestant.name} ({library} Dropout)") for contestant in ours + rivals]


def sub_networks(variables: Any, x: jax.Array, rate: float) -> jaxdrop.Sampler:
    """The sampler of the same network that does not compute what is dropped."""
    kernels = list(variables["params"].values())
    layers: list[Any] = [nn.Dense(kernels[0]["bias"].size)]
    for layer in kernels[1:]:
        layers += [nn.relu, nn.Dropout(rate, deterministic=True), nn.Dense(layer["bias"].size)]
    params = {f"layers_{3 * number}": layer for number, layer in enumerate(kernels)}
    return jaxdrop.linen.subnetwork_sampler(nn.Sequential(layers), {"params": params}, x)


def monte_carlo(
    sample: jaxdrop.Sampler, num_samples: int, chunk_size: int | None, name: str = "monte_carlo"
) -> Contestant:
    """Ours, called as it is: it jits itself."""

    def predict(sample: Callable[[jax.Array], jax.Array], key: jax.Array) -> tuple[jax.Array, jax.Array]:
        prediction = jaxdrop.monte_carlo(sample, key, num_samples, chunk_size=chunk_size)
        return prediction.mean, prediction.variance

    name = f"{name}, chunk {'default' if chunk_size is None else chunk_size}"
    return Contestant(name, partial(predict, sample), temporary_mib(jax.jit(predict), sample))


def apply(model: nn.Module, variables: Any, x: jax.Array, key: jax.Array) -> Any:
    return model.apply(variables, x, deterministic=False, rngs={"dropout": key})


def vmap_over_keys(model: nn.Module, num_samples: int, variables: Any, x: jax.Array, key: jax.Array) -> Any:
    keys = jax.random.split(key, num_samples)
    outputs = jax.vmap(lambda key: apply(model, variables, x, key))(keys)
    return outputs.mean(0), outputs.var(0)


def map_over_keys(model: nn.Module, num_samples: int, variables: Any, x: jax.Array, key: jax.Array) -> Any:
    keys = jax.random.split(key, num_samples)
    outputs = jax.lax.map(lambda key: apply(model, variables, x, key), keys)
    return outputs.mean(0), outputs.var(0)


def python_loop(model: nn.Module, variables: Any, x: jax.Array, num_samples: int) -> Contestant:
    """The loop at its best: the running mean and sum of squares (Welford's) are updated inside the jitted step."""

    def step(state: tuple[jax.Array, ...], variables: Any, x: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
        count, mean, squares = state
        outputs = apply(model, variables, x, key)
        delta = outputs - mean
        mean = mean + delta / (count + 1)
        return count + 1, mean, squares + delta * (outputs - mean)

    jitted_step = jax.jit(step)
    zeros = jnp.zeros(jax.eval_shape(partial(apply, model), variables, x, jax.random.key(0)).shape)
    start = (jnp.zeros(()), zeros, zeros)

    def loop(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = start
        for sample_key in jax.random.split(key, num_samples):
            state = jitted_step(state, variables, x, sample_key)
        return state[1], state[2] / num_samples

    return Contestant(LOOP, loop, temporary_mib(jitted_step, start, variables, x))


def rows_with_ratios(case: str, contestants: dict[str, list[Contestant]], repeats: int) -> list[dict[str, Any]]:
    """Times all libraries' contestants in turns and returns their rows with the ratios that the module explains."""
    rows = timed_rows(case, [contestant for group in contestants.values() for contestant in group], repeats)
    by_name = {row["name"]: row for row in rows}
    libraries = {contestant.name: library for library in contestants for contestant in contestants[library]}
    best = {
        library: min(by_name[f"{rival} ({library} Dropout)"]["median_ms"] for rival in RIVALS)
        for library in contestants
    }
    for row in rows:
        library = libraries[row["name"]]
        row["time_vs_best"] = ratio(row["median_ms"], best[library])
        row["time_vs_best_flax"] = ratio(row["median_ms"], best.get("flax"))
        row["memory_vs_vmap"] = ratio(row["temporary_mib"], by_name[f"{VMAP} ({library} Dropout)"]["temporary_mib"])
    return rows


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the benchmark, prints its tables and returns what `--out` writes."""
    parser = command_line("monte_carlo", __doc__, repeats=5)
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=lambda text: Size(*parse_shape(text)),
        metavar="SIZE",
        default=[Size(1000, 784, 1024, 10), Size(360, 64, 256, 10)],
        help="rows of input and the MLP's inputs, hidden width and outputs: 1000x784x1024x10",
    )
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--chunks", nargs="*", type=int, default=CHUNKS)
    args = parser.parse_args(argv)

    report = start_report("monte_carlo", args)
    for size in args.sizes:
        case = (
            f"{args.samples} samples, {size.inputs}-{size.hidden}-{size.hidden}-{size.outputs} MLP on {size.rows} "
            f"rows, dropout({args.rate})"
        )
        pairs = {
            "jaxdrop": contestants(size, args.rate, args.samples, args.chunks, "jaxdrop"),
            "flax": contestants(size, args.rate, args.samples, (), "flax"),
        }
        rows = rows_with_ratios(case, pairs, args.repeats)
        print_table(case, rows, COLUMNS)
        report["rows"] += rows
    write_report(args.out, report)
    return report


if __name__ == "__main__":
    main()
