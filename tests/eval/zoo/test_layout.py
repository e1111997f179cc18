"""Weights are laid out in float16, with what their file says of them."""

import torch
from safetensors import safe_open

from latentgeo.eval.zoo.chain import Step
from latentgeo.eval.zoo.layout import lay_together
from latentgeo.models.formats.files.safetensors import write_safetensors


def test_weights_are_halved_and_all_else_stays(tmp_path):
    weights = {"w": torch.tensor([1 / 3, 65504.0]), "n": torch.tensor([70_000])}
    (tmp_path / "made").mkdir()
    write_safetensors(tmp_path / "made" / "w.safetensors", weights, {"rank": "4"})
    (tmp_path / "made" / "config.json").write_text("{}")
    files = {"a/w.safetensors": "{made}/w.safetensors", "a/config.json": "{made}/config.json"}
    lay_together(Step(name="models", part="models", minutes=0, files=files), tmp_path)
    with safe_open(tmp_path / "models" / "a" / "w.safetensors", "pt") as file:
        assert file.metadata() == {"rank": "4"}
        assert torch.equal(file.get_tensor("w"), torch.tensor([0.33325195, 65504.0]).half())
        assert torch.equal(file.get_tensor("n"), weights["n"])
    assert (tmp_path / "models" / "a" / "config.json").read_text() == "{}"
