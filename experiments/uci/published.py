"""The numbers that Gal's repository gives for MC dropout by this protocol."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.common.data import UCI

# Passes over the examples behind these numbers, as a multiple of the table's own.
MULTIPLIER = 100


class Published(NamedTuple):
    """Mean over the splits and its standard error, of the root-mean-square error and the log-likelihood."""

    rmse: float
    rmse_error: float
    log_likelihood: float
    log_likelihood_error: float


# From the log of the grid search of 2018 with 100 times the epochs and one hidden layer; V.
MC_DROPOUT = {
    "boston": Published(2.903624, 0.176840, -2.401936, 0.041702),
    "concrete": Published(4.826460, 0.160534, -2.936656, 0.024828),
    "energy": Published(0.538867, 0.013524, -1.211517, 0.005319),
    "kin8nm": Published(0.078899, 0.000595, 1.136426, 0.006625),
    "naval": Published(0.000743, 0.000046, 4.449543, 0.002160),
    "power": Published(4.014226, 0.036771, -2.807789, 0.008626),
    "protein": Published(4.274228, 0.020866, -2.871297, 0.001492),
    "wine": Published(0.621809, 0.007974, -0.928090, 0.012738),
    "yacht": Published(0.666275, 0.048602, -1.250148, 0.015297),
}


def of_each_split(dataset: str) -> dict[str, np.ndarray]:
    """The published RMSE and log-likelihood of each split, where their file is at hand, or else nothing.

    The file is `uci/gal_results_100x_1layer.json` in the folder that JAXDROP_DATA names: for each published name of a
    table, lists "test_MC_rmse" and "test_ll". It is not part of this repository, for its licence is non-commercial.
    """
    folder = os.environ.get("JAXDROP_DATA")
    path = Path(folder or "") / "uci" / "gal_results_100x_1layer.json"
    if not folder or not path.is_file():
        return {}
    values = json.loads(path.read_text())[UCI[dataset][0]]
    return {"RMSE": np.array(values["test_MC_rmse"]), "log-likelihood": np.array(values["test_ll"])}
