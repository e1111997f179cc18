"""The UNet's forward pass beside diffusers', by the command."""

import pytest

from latentgeo.core.run.main import main

WORDS = ["bench-unet", "--preset", "tiny", "--latent-size", "8", "--rounds", "1"]


def test_both_are_timed_and_agree(capsys):
    pytest.importorskip("diffusers")
    assert main(WORDS) == 0
    _, ours, theirs, apart, peak = capsys.readouterr().out.splitlines()
    assert ours.startswith("ours ") and theirs.startswith("diffusers ")
    assert theirs.endswith("1.000")
    assert float(apart.split()[-1]) < 1e-5
    assert peak.startswith("peak memory") and peak.endswith("GiB")


def test_one_alone_has_its_own_peak(capsys):
    assert main([*WORDS, "--alone", "ours"]) == 0
    _, ours, peak = capsys.readouterr().out.splitlines()
    assert ours.startswith("ours ") and float(peak.split()[-2]) > 0
