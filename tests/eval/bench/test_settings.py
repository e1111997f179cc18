"""The benchmarks of whole models as commands: what they explain and what they refuse."""

import pytest

from latentgeo.core.run.main import main


@pytest.mark.parametrize("name", ["bench-load", "bench-sample"])
def test_help_explains_every_flag(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"latentgeo {name}" in text and "--rounds" in text and "--dtype" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bench-load", "--rounds", "5"], "rounds must be at least 6, got 5"),
        (["bench-sample", "--rounds", "1"], "rounds must be at least 2, got 1"),
        (["bench-sample", "--steps", "0"], "steps must be at least 1, got 0"),
        (["bench-sample", "--size", "0"], "size must be at least 1, got 0"),
        (["bench-load", "--model", "gone"], "gone"),
        (["bench-load", "--preset", "sd9"], "sd9"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(words, message, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
