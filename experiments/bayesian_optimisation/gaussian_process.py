"""The usual surrogate: scikit-learn's Gaussian process, with expected improvement."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from experiments.bayesian_optimisation.acquisition import candidates, gaussian_expected_improvement


def propose(
    key: jax.Array, points: np.ndarray, values: np.ndarray, *, num_candidates: int, num_starts: int
) -> np.ndarray:
    """Proposes the next point of one run.

    The kernel is Matern's of 5/2 with a length-scale for each dimension; they and the variance maximise the likelihood.

    Args:
      key: PRNG key; consumed.
      points: Where the function was evaluated, (evaluations, dims).
      values: What it was there, (evaluations,).
      num_candidates: Points where a proposal is looked for.
      num_starts: How many of them go on by L-BFGS.

    Returns:
      (dims,).
    """
    dims = points.shape[1]
    length_scales: Any = np.full(dims, 0.5)  # its stub knows one for all dimensions alone
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(length_scales, (1e-2, 1e2), nu=2.5)
    process = GaussianProcessRegressor(kernel, alpha=1e-6, normalize_y=True)
    with warnings.catch_warnings():
        # Length-scales of what hardly matters go to their bounds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, values)
    best = values.argmin()

    # The logarithm, for in the end improvements are so small that their gradients would count as 0.
    def negative_log_improvement(x: np.ndarray) -> np.ndarray:
        mean, deviation = process.predict(np.atleast_2d(x), return_std=True)
        improvement = gaussian_expected_improvement(mean, np.maximum(deviation, 1e-9), values[best])
        return -np.log(np.maximum(improvement, 1e-300))

    first = np.asarray(candidates(key, jnp.asarray(points[best], jnp.float32), num_candidates), float)
    starts = first[np.argsort(negative_log_improvement(first), kind="stable")[:num_starts]]
    found = [
        minimize(lambda x: negative_log_improvement(x)[0], start, bounds=[(0, 1)] * dims, options={"maxiter": 30}).x
        for start in starts
    ]
    met = np.concatenate([starts, found])
    return met[negative_log_improvement(met).argmin()]
