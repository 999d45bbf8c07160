"""What `python -m experiments` accepts and refuses; refusals are one message, never a traceback."""

import textwrap

import pytest

from experiments.__main__ import main
from experiments.common.results import table

GOOD = """\
    r'''Command: try me.'''
    from experiments.digits.train import Config
    def get_config():
        return Config(epochs=2)
"""


@pytest.fixture
def refused(capsys, tmp_path):
    """Runs a command line that must be refused before it writes anything; gives its message."""

    def run(*argv):
        assert main([*argv, "--workdir", str(tmp_path / "run")]) == 2
        assert not (tmp_path / "run").exists()
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("error: ")
        assert "Traceback" not in output.err
        return output.err

    return run


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "config.py"
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


def test_unknown_field_is_refused_with_the_known_ones(refused):
    message = refused("--config.rat=0.5")
    assert "Field rat not found" in message
    assert "--config.rate: float = 0.5" in message
    assert "--config.dataset: str = 'digits'" in message


@pytest.mark.parametrize("argument", ["--config.epochs=1.5", "--config.epochs=many", "--config.rate=half"])
def test_wrong_type_is_refused_with_the_right_ones(refused, argument):
    message = refused(argument)
    assert argument in message
    assert "--config.epochs: int = " in message


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("rate=1.5", "rate must be between 0 and 1, without them, got 1.5"),
        ("rate=nan", "rate must be between 0 and 1, without them, got nan"),
        ("dataset=foo", "dataset must be one of digits, mnist, fashion_mnist, got 'foo'"),
        ("epochs=0", "epochs must be at least 1, got 0"),
        ("num_samples=-1", "num_samples must be at least 1, got -1"),
        ("learning_rate=0", "learning_rate must be positive and finite, got 0.0"),
        ("seed=-1", "seed must be at least 0 and below 2**32, got -1"),
    ],
)
def test_bad_value_is_refused_in_one_line(refused, argument, expected):
    assert refused(f"--config.{argument}") == f"error: {expected}\n"


def test_other_flags_and_arguments_are_refused(refused, config_file):
    assert "'wordir'" in refused("--wordir=x")
    assert "unexpected argument 'digits'" in refused("digits")
    assert "Overriding config is not allowed" in refused("--config=x.py")
    path = config_file(GOOD)
    assert f"unexpected argument '{path}'" in refused(path, path)


def test_missing_file_is_refused(refused):
    assert refused("nowhere/config.py") == "error: there is no configuration file nowhere/config.py\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", "has no function get_config()"),
        ("get_config = lambda: {}", "get_config() must return a dataclass, got {}"),
        ("def get_config(:", "SyntaxError"),
        (GOOD.replace("epochs=2", "epochs=0"), "epochs must be at least 1, got 0"),
        (GOOD.replace("epochs=2", "epochs=True"), "epochs must be int, got True"),
        (GOOD.replace("epochs=2", "rate='high'"), "rate must be float, got 'high'"),
        (GOOD.replace("epochs=2", "epoch=2"), "unexpected keyword argument 'epoch'"),
    ],
)
def test_faulty_file_is_refused_by_name(refused, config_file, text, expected):
    path = config_file(text)
    message = refused(path)
    assert expected in message
    assert path in message


def test_configuration_without_an_experiment_is_refused(refused, config_file):
    path = config_file("""\
        import dataclasses
        @dataclasses.dataclass(frozen=True)
        class Config:
            seed: int = 0
        get_config = Config
    """)
    assert "has no function run(config, workdir)" in refused(path)


def test_help_shows_usage_the_description_and_the_fields(capsys, config_file):
    path = config_file(GOOD)
    assert main([path, "--help"]) == 0
    output = capsys.readouterr().out
    assert "python -m experiments [CONFIG.py]" in output
    assert "Command: try me." in output
    assert "--config.epochs: int = 2" in output
    assert main(["--help"]) == 0
    assert "python -m experiments configs/digits/default.py" in capsys.readouterr().out


def test_table_has_a_column_per_group_and_a_line_per_number():
    lines = table({"plain": {"accuracy": 0.5}, "long name here": {"accuracy": 0.25, "NLL": 1.0}, "n": 3.0}).split("\n")
    assert lines == [
        "              plain  long name here",
        "accuracy     0.5000          0.2500",
        "NLL                          1.0000",
        "n            3.0000",
    ]
