r"""Three kinds of noise on the recurrent path at a rate of one half; otherwise as shakespeare.py.

Command:  python -m experiments configs/language_model/shakespeare_half.py
Cost:     16 minutes on 2 CPU cores that did other work beside.
Expect:   validation perplexity 8.40 (naive), 8.46 (variational) and 9.05 (recurrent), standard errors 0.03 to 0.06: all
          are worse than without noise on the recurrent path (8.14), and better, but for the last, than without any.
"""

from experiments.language_model.train import Config


def get_config() -> Config:
    """What goes into the LSTM and comes out of it is dropped as often as in shakespeare.py."""
    return Config(
        dataset="shakespeare",
        methods="naive recurrent;variational;recurrent",
        width=200,
        num_layers=1,
        max_symbols=50_000,
        epochs=50,
        num_seeds=3,
        rate=0.3,
        recurrent_rate=0.5,
        word_rate=0.05,
    )
