r"""MC dropout on protein structure by the protocol of Gal's grid search of 2018, beside other methods.

Command:  python -m experiments configs/uci/protein.py
Cost:     135 minutes of a CPU core with AVX-512 that it shared.
Expect:   of MC dropout an RMSE of 4.29 ± 0.01 and a log-likelihood of -2.878 ± 0.002; published are 4.27 ± 0.02 and
          -2.871 ± 0.001 (V). Five networks without noise are better: 4.02 ± 0.01 and -2.805 ± 0.002.
"""

from experiments.uci.train import Config


def get_config() -> Config:
    """2000 passes over the examples, but fewer samples for the validation examples, which are many."""
    return Config(dataset="protein", num_validation_samples=1000)
