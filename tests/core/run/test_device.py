"""Devices and dtypes by their names, and what is said of those that are not there."""

import pytest
import torch

from latentgeo.core.run.device import pick_device, pick_dtype

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="checks a machine without a GPU")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Tests run as one process even under torchrun."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_cpu_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "CPU"]
)
def test_an_unknown_device_is_refused_by_name(name):
    with pytest.raises(ValueError, match="wanted auto, cpu, cuda, cuda:<index> or mps") as error:
        pick_device(name)
    assert repr(name) in str(error.value)


@NO_GPU
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_refused(name):
    with pytest.raises(ValueError, match=f"device: got '{name}', but torch finds no CUDA GPU"):
        pick_device(name)


@pytest.mark.parametrize(
    ("name", "local", "index"), [("cuda", "2", 2), ("auto", "1", 1), ("cuda:0", "1", 0)]
)
def test_torchrun_gives_each_local_rank_its_gpu(monkeypatch, name, local, index):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    for key, value in {"RANK": "5", "WORLD_SIZE": "6", "LOCAL_RANK": local}.items():
        monkeypatch.setenv(key, value)
    assert pick_device(name) == torch.device("cuda", index)
    with pytest.raises(ValueError, match="got 'cuda:3', wanted cuda:0 to cuda:2"):
        pick_device("cuda:3")


def test_dtypes():
    names = ["fp32", "bf16", "fp16", "fp64"]
    wanted = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
    assert [pick_dtype(name) for name in names] == wanted
    with pytest.raises(ValueError, match="got 'float32', wanted one of fp32, bf16, fp16, fp64"):
        pick_dtype("float32")
