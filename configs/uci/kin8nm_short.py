r"""All methods on a robot arm (kin8nm) with a tenth of the published passes, and fewer samples.

Command:  python -m experiments configs/uci/kin8nm_short.py
Cost:     not run; some 20 minutes on one CPU core, from the time that kin8nm took.
Expect:   no number that is published. With ten times the passes: configs/uci/kin8nm.py.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """400 passes over the examples."""
    return Config(dataset="kin8nm", multiplier=10, num_samples=1000, num_validation_samples=200)
