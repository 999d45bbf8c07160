import subprocess
import sys

import pytest

import jaxdrop


def run(code: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_importing_jaxdrop_does_not_import_flax():
    heavy = "('flax', 'tqdm', 'matplotlib')"
    assert run(f"import sys, jaxdrop; print([m for m in sys.modules if m.split('.')[0] in {heavy}])") == "[]"


@pytest.mark.thorough
def test_modules_are_there_without_an_import():
    names = "jaxdrop.linen.Dropout, jaxdrop.nnx.Dropout, jaxdrop.metrics.accuracy"
    assert run(f"import jaxdrop; print(*(f.__name__ for f in ({names})))") == "Dropout Dropout accuracy"


def test_unknown_names_raise():
    with pytest.raises(AttributeError, match="'jaxdrop' has no attribute 'drop_out'"):
        jaxdrop.drop_out  # noqa: B018
