r"""Where dropout's uncertainty fails: away from the data, and against an ensemble of the same cost.

Command:  python -m experiments configs/where_it_fails/default.py
Cost:     TODO
Expect:   TODO
"""

from experiments.where_it_fails.train import Config


def get_config() -> Config:
    """Ten data sets on the line, and for digits two networks of each kind for each pair of classes left out."""
    return Config()
