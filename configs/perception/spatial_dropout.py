r"""Which pixels a segmentation network with spatial dropout does not know.

Command:  python -m experiments configs/perception/spatial_dropout.py
Cost:     TODO
Expect:   TODO
"""

from experiments.perception.train import Config


def get_config() -> Config:
    """Whole channels are dropped."""
    return Config(noise="spatial", rate=0.1)
