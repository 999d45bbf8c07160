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
    "boston": Published(2.904, 0.177, -2.402, 0.042),
    "concrete": Published(4.826, 0.161, -2.937, 0.025),
    "energy": Published(0.539, 0.014, -1.212, 0.005),
    "kin8nm": Published(0.0789, 0.0006, 1.136, 0.007),
    "naval": Published(0.00074, 0.00005, 4.450, 0.002),
    "power": Published(4.014, 0.037, -2.808, 0.009),
    "protein": Published(4.274, 0.021, -2.871, 0.001),
    "wine": Published(0.622, 0.008, -0.928, 0.013),
    "yacht": Published(0.666, 0.049, -1.250, 0.015),
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
