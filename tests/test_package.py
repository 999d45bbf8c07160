import subprocess
import sys

import pytest

import jaxdrop


def test_importing_jaxdrop_does_not_import_flax():
    code = "import sys, jaxdrop; print(sorted(m for m in sys.modules if m.split('.')[0] in ('flax', 'tqdm', 'matplotlib')))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_modules_are_there_without_an_import():
    code = "import jaxdrop; print(jaxdrop.linen.Dropout.__name__, jaxdrop.nnx.Dropout.__name__, jaxdrop.metrics.accuracy.__name__)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == [
        "Dropout",
        "Dropout",
        "accuracy",
    ]


def test_unknown_names_raise():
    with pytest.raises(AttributeError, match="'jaxdrop' has no attribute 'drop_out'"):
        jaxdrop.drop_out  # noqa: B018
