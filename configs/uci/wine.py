r"""MC dropout on red wine quality by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/wine.py
Cost:     50 minutes on one CPU core that other work shared.
Expect:   of MC dropout an RMSE of 0.620 ± 0.010 and a log-likelihood of -0.934 ± 0.016; published are 0.622 ± 0.008 and
          -0.928 ± 0.013 (V). Networks without noise, alone or five, have larger errors.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """4000 passes over the examples, as in the published table."""
    return Config(dataset="wine")
