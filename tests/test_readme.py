"""The README's examples run."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
@pytest.mark.filterwarnings("default")
def test_example_runs(number, monkeypatch):
    import jax

    # A user's settings, not the strict ones of the tests.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        exec(compile(EXAMPLES[number], f"README.md, example {number}", "exec"), {"__name__": "readme"})


def test_there_are_examples_for_both_kinds_of_modules():
    assert any("jaxdrop.linen" in example for example in EXAMPLES)
    assert any("jaxdrop.nnx" in example for example in EXAMPLES)
