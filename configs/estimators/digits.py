r"""How exact each way to predict with dropout is, on an MLP for small digits.

Command:  python -m experiments configs/estimators/digits.py
Cost:     not run.
Expect:   balanced masks are the most exact; the jackknife takes the bias of the mutual information away.
"""

from experiments.estimators.train import Config


def get_config() -> Config:
    """64-256-256-10, half of the hidden units dropped."""
    return Config()
