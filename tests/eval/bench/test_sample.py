"""Text to image by two programs on one set of weights."""

import re

import pytest
import torch

from latentgeo.eval.bench.pairs import preset_config
from latentgeo.eval.bench.sample import bench_sample, contenders
from latentgeo.eval.bench.settings import BenchSample
from latentgeo.models.bundles.text_to_image import new_bundle


@pytest.fixture(autouse=True)
def parity():
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")


def test_both_draw_the_same_image():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = contenders(new_bundle(preset_config("tiny")).eval(), 24)
    ours, theirs = draws.ours(3), draws.diffusers(3)
    assert ours.shape == (1, 3, 24, 24) and ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert (draws.ours(2) - ours).abs().max() > 1e-3


def test_the_table_has_both_their_ratio_and_their_difference():
    text = bench_sample(BenchSample(preset="tiny", size=24, steps=2, rounds=2, device="cpu"))
    first, _, ours, theirs, ratio, apart = text.splitlines()
    assert first == "24 × 24, 2 steps, fp32 on cpu, w = 7.5"
    assert ours.startswith("ours ") and theirs.startswith("diffusers ")
    assert theirs.endswith("1.000")
    assert re.fullmatch(r"ours / diffusers: .+ \[.+, .+\] \(95 %, n = 2 rounds in turn\)", ratio)
    assert float(apart.split()[-3]) < 1e-4
