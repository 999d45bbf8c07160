r"""Referral on scikit-learn's breast-cancer data: 20 splits, five networks for each, side by side.

Command:  python -m experiments configs/referral/breast_cancer.py
Cost:     TODO
Expect:   TODO
"""

from experiments.referral.train import Config


def get_config() -> Config:
    """Settings chosen on the validation cases."""
    return Config(
        dataset="breast_cancer", network="64-64", rate=0.5, epochs=100, batch_size=32, num_samples=200, num_seeds=20
    )
