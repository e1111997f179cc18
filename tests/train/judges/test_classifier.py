"""Training of the attribute classifier: its loss by hand, a run that resumes to the bit."""

import json
import math
import shlex

import pytest
import torch
from torch import nn

from latentgeo.core.run.main import main
from latentgeo.models.judges.classifier import load_classifier
from latentgeo.train.data.draws import Draws
from latentgeo.train.judges.classifier import ClassifierTask
from latentgeo.train.loop.log import read_log
from tests.models.judges.test_classifier import CONFIG


class Same(nn.Module):
    """A classifier whose answers are the same for every image."""

    config = CONFIG

    def forward(self, x):
        said = {"hair": [0.0, math.log(3)], "hair_colour": [0.0, 0.0, math.log(2)]}
        return {name: torch.tensor([row] * len(x)) for name, row in said.items()}


def test_the_loss_is_the_mean_over_attributes_of_what_shows():
    """Probabilities are 1/4 and 3/4, and 1/4, 1/4, 1/2; who has no hair has no colour of it."""
    labels = [{"hair": "no", "hair_colour": "none"}, {"hair": "long", "hair_colour": "red"}]
    batch = torch.zeros(2, 3, 16, 16), [json.dumps(row) for row in labels]
    loss, _ = ClassifierTask(Same(), torch.device("cpu")).loss(batch, Draws(0, 0, 2))
    assert loss.item() == pytest.approx(((math.log(4) + math.log(4 / 3)) / 2 + math.log(4)) / 2)


def words(out, steps, *more):
    how = ["--limit", "8", "--batch", "4", "--warm-up", "1", "--log-every", "1", "--device", "cpu"]
    return ["train-classifier", "--out", str(out), "--steps", str(steps), *how, *more]


def test_the_command_writes_what_is_loaded_and_resumes_to_the_bit(tmp_path, capsys):
    """Two steps in one go and in two, with the noise, the shifts and the dropout of either."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(words(whole, 2, "--schedule", "constant")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("found 8 images, 0 skipped, 64 x 64")
    line = shlex.split(said[-1])
    assert line[:3] == ["latentgeo", "eval-quality", "--classifier"]
    model = load_classifier(whole / "classifier.safetensors")
    assert line[3] == str(whole / "classifier.safetensors")
    shares = dict(row.split() for row in said if len(row.split()) == 2 and "." in row.split()[1])
    shares = {name: float(shares[name]) for name in model.config.attributes}
    assert all(0 <= share <= 1 for share in shares.values())
    assert main(words(parts, 1, "--schedule", "constant")) == 0
    assert main(["train-classifier", "--out", str(parts), "--resume", "--steps", "2"]) == 0
    again = load_classifier(parts / "classifier.safetensors").state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())
    assert [row["step"] for row in read_log(parts / "log.jsonl")] == [1, 2]


@pytest.mark.parametrize("more", ["--steps 0", "--batch 0", "--rate 0", "--limit 0"])
def test_what_no_run_could_use_is_refused(more, tmp_path, capsys):
    name, value = more.split()
    assert main(words(tmp_path / "x", 1, name, value)) == 2
    assert capsys.readouterr().err.startswith(f"latentgeo train-classifier: {name} must be")
