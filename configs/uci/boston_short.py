r"""All methods on Boston housing with a tenth of the published passes: to see that it works.

Command:  python -m experiments configs/uci/boston_short.py
Cost:     not run; some 4 minutes on one CPU core, from the time that kin8nm took.
Expect:   no number that is published. With ten times the passes: configs/uci/boston.py.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """400 passes over the examples, and fewer samples."""
    return Config(dataset="boston", multiplier=10, num_samples=2000, num_validation_samples=500)
