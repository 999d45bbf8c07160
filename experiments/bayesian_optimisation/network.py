"""A network with dropout that stands for the function: fitted to what is known, it proposes where to look next."""

import functools
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import jaxdrop.linen
from experiments.bayesian_optimisation.acquisition import candidates, expected_improvement, minimise

THOMPSON, EXPECTED_IMPROVEMENT = "dropout, Thompson", "dropout, EI"


class Settings(NamedTuple):
    """How the network is trained and searched.

    Attributes:
      width: Units of each hidden layer.
      depth: Hidden layers.
      rate: Probability of dropping a hidden unit.
      steps: Adam's steps, from new parameters after each evaluation.
      learning_rate: Adam's step size, which falls to 0 along a cosine.
      num_samples: Dropout samples of which the expected improvement is the mean.
      num_candidates: Points where a proposal is looked for.
      num_starts: How many of them go on by gradient steps.
      num_ascent_steps: Of these steps.
    """

    width: int
    depth: int
    rate: float
    steps: int
    learning_rate: float
    num_samples: int
    num_candidates: int
    num_starts: int
    num_ascent_steps: int


class Network(nn.Module):
    """Hidden layers, each followed by dropout, points (n, dims) of the unit cube -> values (n,)."""

    width: int
    depth: int
    rate: float
    train: bool = False

    @nn.compact
    def __call__(self, points: jax.Array) -> jax.Array:
        """Values of the function, standardised."""
        x = 2 * points - 1
        for _ in range(self.depth):
            x = nn.silu(nn.Dense(self.width)(x))
            x = jaxdrop.linen.Dropout(self.rate, deterministic=not self.train)(x)
        return nn.Dense(1)(x)[:, 0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def propose(
    method: str, settings: Settings, keys: jax.Array, points: jax.Array, values: jax.Array, number: jax.typing.ArrayLike
) -> jax.Array:
    """Proposes the next point of each of several runs, whose networks are trained side by side.

    Args:
      method: `THOMPSON`, the least value of one network, all of whose points have the same masks; or
        `EXPECTED_IMPROVEMENT`, the largest one under several such networks.
      settings: How the network is trained and searched.
      keys: PRNG key of each run, (runs,).
      points: Where the function was evaluated, in the first `number` entries, (runs, most, dims).
      values: What it was there, of mean 0 and variance 1 in these entries, (runs, most).
      number: Evaluations so far; may change without compiling again.

    Returns:
      (runs, dims).
    """
    fit_keys, search_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    known = jnp.arange(values.shape[1]) < number
    fitted = jax.vmap(functools.partial(_fit, settings), (0, 0, 0, None))(fit_keys, points, values, known)

    # One after another, for the samples of all of them would not fit the cache.
    def search(run: tuple[jax.Array, Any, jax.Array, jax.Array]) -> jax.Array:
        key, params, points, values = run
        return _search(method, settings, key, params, points, values, known)

    return jax.lax.map(search, (search_keys, fitted, points, values))


def _network(settings: Settings, train: bool = False) -> Network:
    return Network(settings.width, settings.depth, settings.rate, train)


def _fit(settings: Settings, key: jax.Array, points: jax.Array, targets: jax.Array, known: jax.Array) -> dict:
    network = _network(settings, train=True)
    init_key, key = jax.random.split(key)
    params = _network(settings).init(init_key, points[:1])["params"]
    optimizer = optax.adam(optax.cosine_decay_schedule(settings.learning_rate, settings.steps))

    def loss(params, key):
        outputs = cast(jax.Array, network.apply({"params": params}, points, rngs={"dropout": key}))
        return jnp.mean(jnp.square(outputs - targets), where=known)

    def step(carry, number):
        params, state = carry
        gradient = jax.grad(loss)(params, jax.random.fold_in(key, number))
        with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
            updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(settings.steps))
    return {"params": params}


def _search(
    method: str,
    settings: Settings,
    key: jax.Array,
    variables: dict,
    points: jax.Array,
    targets: jax.Array,
    known: jax.Array,
) -> jax.Array:
    candidate_key, sample_key = jax.random.split(key)
    best = jnp.where(known, targets, jnp.inf).argmin()

    def thompson(x: jax.Array) -> jax.Array:
        return jaxdrop.linen.sampler(_network(settings), variables, x, share_masks=True)(sample_key)

    def negative_improvement(x: jax.Array) -> jax.Array:
        sample = jaxdrop.linen.sampler(_network(settings), variables, x, share_masks=True)
        samples = jax.vmap(sample)(jax.random.split(sample_key, settings.num_samples))
        return -expected_improvement(samples, targets[best])

    return minimise(
        {THOMPSON: thompson, EXPECTED_IMPROVEMENT: negative_improvement}[method],
        candidates(candidate_key, points[best], settings.num_candidates),
        starts=settings.num_starts,
        steps=settings.num_ascent_steps,
        step_size=0.02,
    )
