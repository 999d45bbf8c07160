r"""All methods on power plants with a tenth of the published passes, and fewer samples.

Command:  python -m experiments configs/uci/power_short.py
Cost:     not run; some 20 minutes on one CPU core, from the time that kin8nm took.
Expect:   no number that is published. With ten times the passes: configs/uci/power.py.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """400 passes over the examples."""
    return Config(dataset="power", multiplier=10, num_samples=1000, num_validation_samples=200)
