"""The classifier's command, small; what it learns is in tests/models/judges/test_classifier.py."""

import pytest

from latentgeo.core.run.main import main
from latentgeo.models.judges.classifier import load_classifier


def test_the_command_writes_what_is_loaded(tmp_path, capsys):
    file = tmp_path / "classifier.safetensors"
    words = ["--limit", "8", "--steps", "1", "--batch", "4", "--device", "cpu"]
    assert main(["train-classifier", *words, "--to", str(file)]) == 0
    found, *lines, head, following = capsys.readouterr().out.splitlines()
    assert found == "found 8 faces with attributes, 64 x 64" and head == "next:"
    assert following.split()[:3] == ["latentgeo", "eval-quality", "--classifier"]
    shares = dict(line.split() for line in lines)
    assert set(shares) == set(load_classifier(file).config.attributes)
    assert all(0 <= float(share) <= 1 for share in shares.values())


@pytest.mark.parametrize("words", [["--steps", "0"], ["--batch", "0"], ["--rate", "0"]])
def test_what_no_run_could_use_is_refused(words, tmp_path, capsys):
    assert main(["train-classifier", *words, "--to", str(tmp_path / "x")]) == 2
    assert words[0].removeprefix("--") in capsys.readouterr().err
