"""Makes RESULTS.md, and the pictures that need no more, from the result files: python -m experiments.report [FOLDER]

FOLDER holds one sub-folder for each experiment, with the `result.json` of each run under a name of its own; it is
experiments/results unless another is given. RESULTS.md is written beside it.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.active_learning import report as active_learning
from experiments.bayesian_optimisation import report as bayesian_optimisation
from experiments.common.errors import RefusedError
from experiments.compare import report as compare
from experiments.concrete import report as concrete
from experiments.digits import report as digits
from experiments.estimators import report as estimators
from experiments.fine_tuning import report as fine_tuning
from experiments.gradient_variance import report as gradient_variance
from experiments.language_model import report as language_model
from experiments.perception import report as perception
from experiments.referral import report as referral
from experiments.sbp import report as sbp
from experiments.shift import report as shift
from experiments.sparse_vd import report as sparse_vd
from experiments.text_classification import report as text_classification
from experiments.uci import report as uci
from experiments.where_it_fails import report as where_it_fails

RESULTS = Path(__file__).parent / "results"

SECTIONS = {
    "compare": compare.section,
    "language_model": language_model.section,
    "text_classification": text_classification.section,
    "fine_tuning": fine_tuning.section,
    "sparse_vd": sparse_vd.section,
    "sbp": sbp.section,
    "concrete": concrete.section,
    "gradient_variance": gradient_variance.section,
    "uci": uci.section,
    "estimators": estimators.section,
    "referral": referral.section,
    "shift": shift.section,
    "perception": perception.section,
    "active_learning": active_learning.section,
    "bayesian_optimisation": bayesian_optimisation.section,
    "where_it_fails": where_it_fails.section,
    "digits": digits.section,
}
PICTURES = {
    "compare": compare.picture,
    "language_model": language_model.picture,
    "concrete": concrete.picture,
    "referral": referral.picture,
    "shift": shift.picture,
    "active_learning": active_learning.picture,
    "bayesian_optimisation": bayesian_optimisation.picture,
}

HEAD = """# Results

Made by `python -m experiments.report` from the result files in [{folder}]({folder}); not to be edited. Each file holds
the configuration, seed, PRNG implementation, package versions, device and time of its run; what we think of a number
stands in the text of the same name beside it.

The papers' numbers carry a tag for their evidence: V, read in the authors' own repository or page; S, read in a
secondary source that quotes the paper's table. Numbers that could not be verified are not shown.
"""


def main(argv: Sequence[str]) -> int:
    """Writes the report for the folder in `argv`; returns the exit status."""
    if len(argv) > 1 or any(argument.startswith("-") for argument in argv):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(argv[0]) if argv else RESULTS
    try:
        print(f"wrote {write(folder)}")
    except RefusedError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    return 0


def write(folder: Path) -> Path:
    """Writes RESULTS.md and the pictures, and returns its path.

    Raises:
      RefusedError: If there is no result file, or one is not a result's.
    """
    for experiment, picture in PICTURES.items():
        for path in sorted((folder / experiment).glob("*.json")):
            picture(_read(path)).savefig(path.with_suffix(".png"))
    target = folder.parent / "RESULTS.md"
    target.write_text(text(folder))
    return target


def text(folder: Path) -> str:
    """The content of RESULTS.md.

    Raises:
      RefusedError: If there is no result file, or one is not a result's.
    """
    files = [path for experiment in SECTIONS for path in sorted((folder / experiment).glob("*.json"))]
    if not files:
        raise RefusedError(f"there are no result files in {', '.join(f'{folder}/{name}' for name in SECTIONS)}")
    parts = [SECTIONS[path.parent.name](path, _read(path), f"{folder.name}/{path.parent.name}/") for path in files]
    return "\n".join([HEAD.format(folder=folder.name), *parts])


def _read(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text())
        if not {"metrics", "config", "versions", "device", "wall_seconds"} <= run.keys():
            raise ValueError("a field is missing")
    except (ValueError, AttributeError) as error:
        raise RefusedError(f"{path} is not a result file: {error}") from error
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
