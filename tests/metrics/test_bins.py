"""Sums in bins equal those of plain selections, whatever the ties and however few the examples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdrop.metrics import equal_mass_bins, equal_width_bins


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(4, 0.5), size=301).astype(np.float32), rng.integers(4, size=301).astype(np.int32)


def sums(forecasts, outcomes, selections):
    squares = (forecasts - outcomes) ** 2
    return [[term[chosen].sum() for chosen in selections] for term in (forecasts * 0 + 1, forecasts, outcomes, squares)]


def top_class(probabilities, labels):
    return probabilities.max(-1).astype(np.float64), (probabilities.argmax(-1) == labels).astype(np.float64)


def each_class(probabilities, labels):
    return [(probabilities[:, c].astype(np.float64), (labels == c).astype(np.float64)) for c in range(4)]


@pytest.mark.thorough
@pytest.mark.parametrize("num_bins", [1, 7, 1000])
def test_equal_width_bins_equal_selections(predictions, num_bins):
    edges = np.linspace(0, 1, num_bins + 1)
    edges[0] = -1

    def expected(forecasts, outcomes):
        chosen = [(forecasts > low) & (forecasts <= high) for low, high in itertools.pairwise(edges)]
        return sums(forecasts, outcomes, chosen)

    binned = jax.jit(equal_width_bins, static_argnums=2)
    np.testing.assert_allclose(binned(*predictions, num_bins), expected(*top_class(*predictions)), rtol=1e-5, atol=1e-6)
    bins = equal_width_bins(*predictions, num_bins, class_wise=True)
    for c, pair in enumerate(each_class(*predictions)):
        np.testing.assert_allclose([field[c] for field in bins], expected(*pair), rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("num_bins", [1, 7, 301, 400])
def test_equal_mass_bins_split_the_sorted_examples(predictions, num_bins):
    def expected(forecasts, outcomes):
        return sums(forecasts, outcomes, np.array_split(np.argsort(forecasts), num_bins))

    binned = jax.jit(equal_mass_bins, static_argnums=2)
    np.testing.assert_allclose(binned(*predictions, num_bins), expected(*top_class(*predictions)), rtol=1e-5, atol=1e-6)
    bins = equal_mass_bins(*predictions, num_bins, class_wise=True)
    for c, pair in enumerate(each_class(*predictions)):
        np.testing.assert_allclose([field[c] for field in bins], expected(*pair), rtol=1e-5, atol=1e-6)


def test_equal_probabilities_stay_together_in_any_order():
    confidence = np.repeat([0.5, 0.75, 1.0], [2, 5, 1])
    probabilities, labels = np.stack([confidence, 1 - confidence], -1), np.array([0, 1, 0, 1, 1, 0, 0, 1], np.int32)
    bins = equal_mass_bins(probabilities, labels, 4)
    np.testing.assert_array_equal(bins.num_examples, [2, 5, 0, 1])
    order = np.random.default_rng(0).permutation(8)
    for field, permuted in zip(bins, equal_mass_bins(probabilities[order], labels[order], 4), strict=True):
        np.testing.assert_array_equal(field, permuted)


def test_probabilities_of_exactly_0_and_1_are_in_the_outer_bins():
    bins = equal_width_bins(jnp.array([[1.0, 0.0]]), jnp.array([0]), 3, class_wise=True)
    np.testing.assert_array_equal(bins.num_examples, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(bins.outcome, [[0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("binned", [equal_width_bins, equal_mass_bins])
def test_one_class_and_one_example(binned):
    bins = binned(jnp.ones((1, 1)), jnp.array([0]), 2, class_wise=True)
    assert bins.num_examples.shape == (1, 2)
    assert [float(field.sum()) for field in bins] == [1, 1, 1, 0]


@pytest.mark.parametrize("binned", [equal_width_bins, equal_mass_bins])
def test_refuses_less_than_one_bin(binned):
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        binned(jnp.ones((1, 1)), jnp.zeros(1, jnp.int32), 0)


def test_sums_a_million_forecasts_as_well_as_a_few():
    """Of which 98 % come true, as each of them says."""
    number = 2**20
    forecasts = np.stack([np.full(number, 0.98), np.full(number, 0.02)], 1).astype(np.float32)
    labels = (np.arange(number) % 50 == 0).astype(np.int32)
    for bins in (equal_width_bins(forecasts, labels), equal_mass_bins(forecasts, labels)):
        assert abs(float(bins.confidence.sum()) / number - 0.98) < 1e-5
        assert bins.num_examples.sum() == number
        assert float(bins.outcome.sum()) == (labels == 0).sum()


@pytest.mark.parametrize("num_bins", [1, 5, 15, 25, 50, 64, 100])
def test_frequencies_of_votes_belong_to_the_bin_that_they_end(num_bins):
    frequencies = jnp.asarray(np.arange(1, num_bins + 1) / num_bins, jnp.float32)
    forecasts = jnp.stack([frequencies, 1 - frequencies], 1)
    bins = equal_width_bins(forecasts, jnp.zeros(num_bins, int), num_bins, class_wise=True)
    np.testing.assert_array_equal(bins.num_examples[0], np.ones(num_bins))
