"""Two processes with batches of B train as one with a batch of 2 B does."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from latentgeo.core.device import average_gradients, process_group
from latentgeo.models.bundle import TextToImage, load_bundle, save_bundle
from latentgeo.models.lora import attach
from latentgeo.train.commands import TrainSmooth
from latentgeo.train.data import open_source
from latentgeo.train.latents import cached
from latentgeo.train.loop import Loop
from latentgeo.train.session import stream
from latentgeo.train.smooth import SmoothTask

CPU = torch.device("cpu")


def smooth_loop(folder: Path, out: Path) -> Loop:
    """Return the loop of a float64 Smooth-LoRA run with global batches of 4 in two parts."""
    settings = TrainSmooth(
        out=out, steps=2, batch=4, accumulate=2, rank=2, rate=0.01, log_every=1, sample_every=0
    )
    bundle = load_bundle(folder / "model", dtype=torch.float64)
    torch.manual_seed(5)
    attach(bundle.unet, 2)
    task = SmoothTask(bundle, settings, [], CPU)
    for weight in task.parameters().values():
        weight.data.normal_(0, 0.3)
    bundle.vae.float()
    source = cached(open_source(str(folder / "pictures"), 16), bundle.vae, CPU)
    return Loop(task, stream(source, settings), settings, CPU)


def outcome(folder: Path, out: Path) -> dict[str, Any]:
    """Return the averaged gradients of the first step, then run, and return what came of it."""
    loop = smooth_loop(folder, out / "gradients")
    loop.compute_gradients()
    average_gradients(loop.weights.values())
    gradients = {name: weight.grad for name, weight in loop.weights.items()}
    loop = smooth_loop(folder, out / "run")
    loop.run()
    return {"gradients": gradients, "weights": dict(loop.weights), "task": loop.task.state()}


def worker(rank: int, folder: Path, port: int) -> None:
    """Be one of two processes; keep the outcome."""
    import os

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with process_group(CPU):
        torch.save(outcome(folder, folder / "two"), folder / f"rank{rank}.pt")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_two_ranks_are_one(
    tmp_path: Path, pictures: Path, tiny: TextToImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of L_base + λ L_reg, the statistic a, and the weights after two steps.

    In float64 the two differ by rounding alone; AdamW divides by √v̂, which enlarges it.
    """
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # the ranks import `tests`
    save_bundle(tiny, tmp_path / "model")
    (tmp_path / "pictures").symlink_to(pictures)
    alone = outcome(tmp_path, tmp_path / "one")
    mp.spawn(worker, (tmp_path, free_port()), nprocs=2)
    for rank in (0, 1):
        both = torch.load(tmp_path / f"rank{rank}.pt", weights_only=False)
        assert max(g.abs().max() for g in alone["gradients"].values()) > 1e-3
        assert_close(both["gradients"], alone["gradients"], 1e-10)
        assert_close(both["weights"], alone["weights"], 1e-8)
        assert both["task"]["raw"].item() == pytest.approx(alone["task"]["raw"].item(), rel=1e-9)
        assert both["task"]["count"].tolist() == [2]
