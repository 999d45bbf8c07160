r"""Fine-tuning on 500 labelled sentences at rates from 0 to 0.3, after pre-training as a language model, and without.

Command:  python -m experiments configs/fine_tuning/sst2.py
Cost:     12 minutes on 2 CPU cores that did other work beside.
Expect:   test errors of 37.3, 36.9, 36.4 and 36.6 % after pre-training, standard errors 0.3 to 1.3, and 38.6 to 40.0 %
          without. Raising the rate gains about one standard error, and loses likelihood (0.69 nats at 0, 0.82 to 0.91
          at the others); pre-training gains more.
"""

from experiments.fine_tuning.train import Config


def get_config() -> Config:
    """Pre-training at a rate of 0.1, on all 6920 training sentences."""
    return Config(rates="0;0.1;0.2;0.3", pretraining_rate=0.1, labelled=500, num_seeds=3)
