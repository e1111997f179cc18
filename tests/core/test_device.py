"""Devices, seeds, random states, ranks and progress, alone and in a process group."""

import io
import os
import random
import socket
import subprocess
import sys

import numpy
import pytest
import torch

from latentgeo.core.device import (
    Ranks,
    all_reduce_mean,
    average_gradients,
    barrier,
    capture_random_state,
    generator,
    is_main,
    mix,
    pick_device,
    pick_dtype,
    process_group,
    progress,
    ranks,
    restore_random_state,
    seed_everything,
)

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="checks a machine without a GPU")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Tests run as one process even under torchrun, and leave the random state as it was."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    state = capture_random_state()
    yield
    restore_random_state(state)


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
    with pytest.raises(ValueError, match=f"device '{name}': torch finds no CUDA GPU"):
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
    with pytest.raises(ValueError, match="GPU 3 wanted, but there are 3"):
        pick_device("cuda:3")


@GPU
@pytest.mark.gpu
def test_gpu_random_state_round_trip():
    state = capture_random_state("cuda")
    first = torch.rand(7, device="cuda")
    restore_random_state(state, "cuda")
    assert torch.equal(torch.rand(7, device="cuda"), first)


def test_dtypes():
    names = ["fp32", "bf16", "fp16", "fp64"]
    wanted = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
    assert [pick_dtype(name) for name in names] == wanted
    with pytest.raises(ValueError, match="got 'float32', wanted one of fp32, bf16, fp16, fp64"):
        pick_dtype("float32")


def test_streams_are_repeatable_and_differ():
    streams = [(seed, name, rank) for seed in range(5) for name in "ab" for rank in range(5)]
    assert len({mix(*stream) for stream in streams}) == len(streams)
    assert mix(3) == 3
    assert torch.equal(
        torch.randn(5, generator=generator(0, "noise", 1)),
        torch.randn(5, generator=generator(0, "noise", 1)),
    )


def test_mix_is_the_same_on_every_machine():
    """The value is fixed: changing it would change every seeded result."""
    assert mix(0, "noise", 1) == 1413489107338554685


def draw():
    numbers = [random.random(), random.gauss(), numpy.random.rand(), numpy.random.randn()]
    return [*numbers, *torch.randn(3).tolist()]


def test_a_seed_sets_all_generators_and_ranks_differ():
    drawn = []
    for seed, rank in [(0, 0), (0, 0), (0, 1), (1, 0)]:
        seed_everything(seed, rank)
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    for one, two in [(0, 2), (0, 3), (2, 3)]:
        assert not set(drawn[one]) & set(drawn[two])


@pytest.mark.parametrize("before", range(3))
def test_a_random_state_comes_back_exactly(tmp_path, before):
    """After an odd number of normal draws both python and numpy hold a second one back."""
    seed_everything(7)
    for _ in range(before):
        draw()
    torch.save(capture_random_state(), tmp_path / "state.pt")
    first = draw()
    draw()
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == first


@NO_GPU
def test_a_gpu_state_without_a_gpu_warns():
    state = capture_random_state()
    with pytest.warns(UserWarning, match="not captured for device cpu"):
        restore_random_state(state | {"cuda": torch.zeros(16, dtype=torch.uint8)})


def test_alone_everything_is_the_identity():
    assert ranks() == Ranks(rank=0, world=1, local=0)
    assert is_main()
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    with process_group(torch.device("cpu")) as here:
        assert here.is_main
        barrier()
        mean = all_reduce_mean(value)
        value.grad = torch.tensor([3.0, 4.0])
        average_gradients([value])
    assert torch.equal(mean, value) and not mean.requires_grad
    assert mean.data_ptr() != value.data_ptr()
    assert value.grad.tolist() == [3.0, 4.0]
    with pytest.raises(ValueError, match=r"got torch.int64, wanted a floating-point tensor"):
        all_reduce_mean(torch.tensor(1))


MEMBER = """
import sys, torch
import torch.distributed as dist
from latentgeo.core.device import (
    all_reduce_mean, average_gradients, barrier, is_main, pick_device, process_group, progress
)
device = pick_device("cpu")
with process_group(device) as here:
    assert is_main() == (here.rank == 0) and here.world == 2 == dist.get_world_size()
    with process_group(device) as inner:
        assert inner == here
    assert dist.is_initialized()
    rank = here.rank
    exact = torch.tensor([1 + rank * 2.0 ** -44], dtype=torch.float64)
    assert all_reduce_mean(exact).item() == 1 + 2.0 ** -45
    half = all_reduce_mean(torch.tensor([256.0 + rank], dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    double = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    single = torch.zeros(5, requires_grad=True)
    absent = torch.zeros(7, requires_grad=True)
    frozen = torch.zeros(11)
    double.grad = torch.full((2, 3), 1 + rank * 2.0 ** -44, dtype=torch.float64)
    single.grad = torch.full((5,), 9.0) if rank == 1 else None
    average_gradients([double, single, absent, frozen])
    assert double.grad.shape == (2, 3) and (double.grad == 1 + 2.0 ** -45).all()
    assert single.grad.dtype == torch.float32 and (single.grad == 4.5).all()
    assert absent.grad is None and frozen.grad is None
    for _ in progress(range(3), label="loop"):
        pass
    barrier()
assert not dist.is_initialized()
print("done", rank)
"""


def test_two_processes_agree():
    """The mean of 1 and 1 + 2h is 1 + h; in float32, h = 2^-45 would vanish."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    members = [
        subprocess.Popen(
            [sys.executable, "-c", MEMBER],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    results = [member.communicate(timeout=120) for member in members]
    assert [out for out, _ in results] == [f"done {rank}\n" for rank in range(2)], results


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_shows_rate_and_time_left_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(total=10, label="train", unit="image") as bar:
        bar.update(5)
        bar.set_postfix(loss="0.5")
    assert "train:  50%" in sys.stderr.getvalue()
    assert "image/s, loss=0.5" in sys.stderr.getvalue()


def test_progress_is_silent_in_short_logs_and_on_other_ranks(monkeypatch, capsys):
    assert list(progress(range(3))) == [0, 1, 2]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(range(3))) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""
    assert capsys.readouterr().err == ""
