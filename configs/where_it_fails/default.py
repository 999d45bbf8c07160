r"""Where dropout's uncertainty fails: away from the data, and against an ensemble of the same cost.

Command:  python -m experiments configs/where_it_fails/default.py
Cost:     3 minutes on one CPU core.
Expect:   far from the data, a deviation of dropout that is 3.6 ± 0.5 (ReLU) or 1.0 ± 0.0 times (tanh) that among them,
          where the error is 12 or 2 times as large, and 95 % intervals that hold 33 ± 7 or 60 ± 10 % of the targets;
          five networks without dropout are no better (8 ± 6, 0 ± 0 %), a Gaussian process is (100 %). Of digits, a
          likelihood of the ensemble that is better by 0.010 ± 0.002, and AUROCs of new classes by 0.008 ± 0.002 and
          0.031 ± 0.001, of shuffled digits by 0.043 ± 0.008 and 0.075 ± 0.010 (by entropy and mutual information).
"""

from experiments.where_it_fails.train import Config


def get_config() -> Config:
    """Ten data sets on the line, and for digits two networks of each kind for each pair of classes left out."""
    return Config()
