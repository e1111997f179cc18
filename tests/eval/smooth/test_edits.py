"""`latentgeo eval-edit` from the line to the results."""

import json

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.metrics.editing import KEPT, WANTED


@pytest.fixture
def start(tiny, tmp_path):
    words = ["eval-edit", "--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    words += ["--classifier", str(tiny.classifier), "--n-images", "5", "--batch", "3"]
    return [*words, "--device", "cpu", "--refine", "1", "--out", str(tmp_path)]


def test_command_from_the_line_to_the_results(tiny, tmp_path, capsys, start):
    """Smooth Fig. 5: edits of both models by several ways, on the same images."""
    methods = ["smooth", "sdedit", "cycle-diffusion", "prompt-to-prompt"]
    assert main([*start, "--methods", *methods, "--blend"]) == 0
    assert WANTED in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    columns = {one["metric"].split(":")[0] for one in found}
    assert columns == {"reconstruction", *methods}
    assert {one["model"] for one in found} == {str(tiny.model), tiny.smooth}
    assert all(one["n"] == 5 for one in found)
    apart = [one for one in found if one["metric"] == f"smooth: {KEPT}, minus {tiny.model}"]
    assert [one["model"] for one in apart] == [tiny.smooth]
    assert len(list(tmp_path.glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--n-images", "1"), "--n-images must be at least 2"),
        (("--n-images", "100"), "--n-images must lie in 1..12"),
        (("--methods", "smooth", "smooth"), "methods"),
        (("--release", "-1"), "release must be in [0, 1]"),
        (("--classifier", "/nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, start, words, message):
    assert main([*start, *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
