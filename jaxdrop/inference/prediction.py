"""What predicting under noise returns."""

from typing import Any, NamedTuple


class Prediction(NamedTuple):
    """Statistics of a model's outputs under noise.

    Attributes:
      mean: Mean over samples; a pytree like the outputs.
      variance: Variance over samples, divided by their number as in Gal's predictive variance; a pytree like the
        outputs. With one sample it is 0.
      num_samples: How many samples were drawn, int32.
      standard_error: A `Prediction` with the standard errors of `mean` and `variance`, or None if there is but one
        block of samples.
      samples: The outputs themselves with a leading axis of length num_samples, or None.
    """

    mean: Any
    variance: Any
    num_samples: Any = None
    standard_error: Any = None
    samples: Any = None


class ClassPrediction(NamedTuple):
    """Statistics of class probabilities under noise; entropies are in nats, over the last axis of the outputs.

    Attributes:
      mean: Mean class probabilities, (..., classes): the predictive distribution.
      variance: Variance of each probability over samples, divided by their number, (..., classes).
      predictive_entropy: Entropy of the mean, (...): the total uncertainty.
      expected_entropy: Mean of the entropies, (...): the aleatoric part.
      mutual_information: Their difference, (...): the epistemic part. It is never negative, and biased downwards
        for few samples, so values from different numbers of samples do not compare.
      jackknifed_information: The same less its bias, to first order in 1 / num_samples, (...); it may be below 0. None
        if there is but one block of samples.
      votes: How many samples have each class as their most probable, (..., classes), int32; None without samples.
      num_samples: How many samples were drawn, int32.
      standard_error: A `ClassPrediction` with the standard errors of the statistics above, or None if there is but one
        block of samples.
      samples: The probabilities of each sample with a leading axis of length num_samples, or None.
    """

    mean: Any
    variance: Any
    predictive_entropy: Any
    expected_entropy: Any
    mutual_information: Any
    jackknifed_information: Any = None
    votes: Any = None
    num_samples: Any = None
    standard_error: Any = None
    samples: Any = None
