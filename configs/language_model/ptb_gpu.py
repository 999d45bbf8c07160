r"""Seven ways to regularise a language model of words, 2 x 650 units on the Penn treebank: the published medium size.

Command:  python -m experiments configs/language_model/ptb_gpu.py
Cost:     not measured; it is meant for a GPU. 7 methods x 3 networks x 39 epochs of 929 589 words.
Expect:   not run yet. Gal and Ghahramani (2016) have validation perplexities of 120.7 without noise, 86.2 with dropout
          on what is not recurrent (Zaremba) and 81.8 with variational dropout, tied (their table 1, read in a copy),
          by another optimiser: here it is Adam.
"""

from experiments.language_model.train import Config


def get_config() -> Config:
    """Sizes, windows and rates as published; zoneout's are those of its authors for words."""
    return Config(
        dataset="ptb",
        width=650,
        num_layers=2,
        max_symbols=0,
        epochs=39,
        num_seeds=3,
        batch_size=20,
        window=35,
        learning_rate=1e-3,
        rate=0.5,
        recurrent_rate=0.25,
        word_rate=0.2,
        weight_rate=0.5,
        zoneout_rate=0.05,
        zoneout_memory_rate=0.5,
    )
