"""`latentgeo eval-typical`: the file that edits read, of models with text and without."""

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.infer.sampling.typical import FILE, read_typical
from latentgeo.models.zoo.places import ZOO
from tests.stand_ins import SIZE, write_pixel_model

FEW = 3  # of the images, measured again


@pytest.mark.parametrize("text", [True, False])
def test_the_command_writes_what_edits_read(tiny, tmp_path, capsys, monkeypatch, text):
    """The tiny set has 12 held-out images; batches change nothing."""
    monkeypatch.setattr("latentgeo.eval.smooth.settings.FEWEST", 12)
    model = tiny.model if text else tmp_path / "pixels"
    if not text:
        write_pixel_model(model)
    words = ["eval-typical", "--model", str(model), "--data", str(tiny.data), "--n-images", "12"]
    for batch in ("5", "12"):
        out = str(tmp_path / batch)
        assert main([*words, "--batch", batch, "--device", "cpu", "--out", out]) == 0
    line, path = capsys.readouterr().out.splitlines()[-2:]
    found = read_typical(tmp_path / "5" / FILE)
    assert path == str(tmp_path / "12" / FILE) and f"{found.bound:.1f} dB" in line
    assert len(found.psnr) == 12 and list(found.psnr) == sorted(found.psnr)
    assert found.size == SIZE and found.settings["images"] == 12
    again = read_typical(tmp_path / "12" / FILE)
    torch.testing.assert_close(
        torch.tensor(again.psnr), torch.tensor(found.psnr), atol=0.01, rtol=0
    )


def test_too_few_images_are_refused(tmp_path, capsys):
    words = ["eval-typical", "--model", "avatars-ddpm", "--n-images", "3", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "images" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["avatars", "avatars-ddpm"])
def test_the_embedded_files_are_of_the_embedded_weights(model, tmp_path, monkeypatch):
    """The first of the same choice of images: each of their values is among those stored."""
    monkeypatch.setattr("latentgeo.eval.smooth.settings.FEWEST", FEW)
    stored = torch.tensor(read_typical(ZOO / model / FILE).psnr)
    words = ["--model", model, "--n-images", str(FEW), "--device", "cpu", "--out", str(tmp_path)]
    assert main(["eval-typical", *words]) == 0
    for value in read_typical(tmp_path / FILE).psnr:
        assert (stored - value).abs().min() < 0.01
