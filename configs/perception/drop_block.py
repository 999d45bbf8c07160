r"""Which pixels a segmentation network with DropBlock does not know.

Command:  python -m experiments configs/perception/drop_block.py
Cost:     not run; about that of configs/perception/spatial_dropout.py.
Expect:   no number yet.
"""

from experiments.perception.train import Config


def get_config() -> Config:
    """Squares of 3 x 3 entries are dropped, of maps of 16 x 16 to 4 x 4."""
    return Config(noise="drop_block", rate=0.1, block_size=3)
