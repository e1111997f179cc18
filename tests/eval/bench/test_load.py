"""A contest of loads: processes that are measured, and the table of what they took."""

import pytest
import torch

from latentgeo.eval.bench.load import bench_load, contest, load_once, random_bundle, table
from latentgeo.eval.bench.load_process import LOADERS, Job, Load
from latentgeo.eval.bench.settings import BenchLoad
from latentgeo.models.formats.diffusers.folder import write_folder


def load(seconds, usable, peak=2_000_000_000):
    return Load(seconds=seconds, usable=usable, peak=peak, size=2_000_000_000)


def test_the_table():
    """Medians, the largest peak, and the median of the pairs' ratios."""
    found = {
        "ours": [load(1.0, 2.0), load(9.0, 9.0), *[load(1.5, 3.0, 2_200_000_000)] * 4],
        "diffusers": [load(2.0, 4.0)] * 6,
    }
    lines = table(found).splitlines()
    assert lines[1].split() == ["ours", "1.500", "3.000", "2.200", "1.100"]
    assert lines[2].split() == ["diffusers", "2.000", "4.000", "2.000", "1.000"]
    assert lines[3] == "load, ours / diffusers: 0.75 [0.5, 4.5] (median, 95 %, n = 6 pairs)"
    assert lines[4] == "usable, ours / diffusers: 0.75 [0.5, 2.25] (median, 95 %, n = 6 pairs)"
    assert lines[5] == "peak memory of ours: 1.100 of the model's size, within 1.15"
    found["ours"][0] = load(1.0, 1.0, 2_400_000_000)
    assert table(found).endswith("1.200 of the model's size, above 1.15")


def test_random_weights_are_of_their_dtype_and_seed():
    one, other = (random_bundle("tiny", torch.float16) for _ in range(2))
    for part, module in one.modules.items():
        for key, value in module.state_dict().items():
            assert value.dtype == torch.float16 and value.abs().max() <= 0.02
            assert torch.equal(value, other.modules[part].state_dict()[key])
    assert one.unet.conv_in.weight.std() > 0.005


def test_a_load_is_measured_in_a_process(tmp_path):
    bundle = random_bundle("tiny", torch.float16)
    folder = str(write_folder(bundle, tmp_path / "model"))
    found = load_once(Job(who="ours", folder=folder, small=folder, dtype="fp32"), tmp_path / "log")
    size = 4 * sum(p.numel() for module in bundle.modules.values() for p in module.parameters())
    assert found.size == size and 0 < found.seconds <= found.usable < 60
    assert 0 <= found.peak < 500_000_000


def test_both_load_in_turn(tmp_path):
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    folder = write_folder(random_bundle("tiny", torch.float16), tmp_path / "model")
    found = contest(folder, folder, "fp16", 1)
    assert list(found) == list(LOADERS)
    assert found["ours"][0].size == found["diffusers"][0].size


def test_a_load_that_fails_says_why(tmp_path):
    job = Job(who="ours", folder=str(tmp_path / "gone"), small=str(tmp_path), dtype="fp32")
    with pytest.raises(
        RuntimeError, match=r"loading by ours ended with status 1: .*does not exist"
    ):
        load_once(job, tmp_path / "log")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        bench_load(BenchLoad(model=str(tmp_path / "gone")))
