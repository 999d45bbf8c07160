"""Runs an experiment: python -m experiments [CONFIG.py] [--workdir DIR] [--config.FIELD=VALUE ...]

Without arguments: the digits experiment, configs/digits/default.py. The results, pictures and checkpoints go to the
workdir, by default runs/<experiment>/<configuration>. The same command resumes a run that was killed, and prints
the table of a run that is finished; delete the workdir to run it again.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.common import config as configs
from experiments.common import results
from experiments.common.errors import RefusedError

DEFAULT_CONFIG = Path(__file__).parent.parent / "configs" / "digits" / "default.py"


def main(argv: Sequence[str]) -> int:
    """Does what the command line `argv` (without the program's name) says; returns the exit status."""
    try:
        _run(list(argv))
    except RefusedError as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    return 0


def _run(argv: list[str]) -> None:
    files = [argument for argument in argv if argument.endswith(".py") and not argument.startswith("-")]
    path = Path(files[0]) if files else DEFAULT_CONFIG
    asks_for_help = any(argument in ("-h", "--help") for argument in argv)
    # Before the file is read, so that the usage is shown even where the file is the problem.
    if asks_for_help and not path.is_file():
        print(__doc__)
        return
    base, description = configs.load(path)
    if asks_for_help:
        print(f"{__doc__}\n{path}:\n{description.rstrip()}\n{configs.describe(base)}")
        return

    flag_values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "where results go", flag_values=flag_values)
    config, rest = configs.override(base, ["experiments", *argv], flag_values)
    if rest != files[:1]:
        surplus = [argument for argument in rest if argument not in files[:1]]
        raise RefusedError(f"unexpected argument {(surplus or rest)[0]!r}; usage:\n{__doc__}")

    name, run = configs.experiment(config)
    changed = "".join(f",{field}={value}" for field, value in configs.changes(base, config).items()).replace("/", "_")
    workdir = Path(flag_values["workdir"].value or Path("runs") / name / (path.stem + changed)).resolve()
    result = results.open_workdir(workdir, name, config)
    if result is None:
        results.begin_segment(workdir)
        result = results.write_result(workdir, config, run(config, workdir))
    else:
        print("finished before:")
    print(f"{results.table(result['metrics'])}\n{result['wall_seconds']:.1f} s; results and pictures: {workdir}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
