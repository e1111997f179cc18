"""A step of training asks a GPU for nothing: the meta device stands in for it."""

from pathlib import Path

import pytest
import torch

from latentgeo.core.schedule import Schedule
from latentgeo.kernels.aot.launches import intercepted, kernels_on_meta
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.lora.adapter import attach
from latentgeo.models.recompute import recompute_blocks
from latentgeo.train.loop.log import Log
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.task import Batch
from latentgeo.train.smoothing.settings import TrainSmooth
from latentgeo.train.smoothing.smooth import SmoothTask
from tests.waits import Waits

META = torch.device("meta")


class Pairs:
    """Batches of moments of 16 × 16 images, or of such images, on the CPU."""

    def __init__(self, cached: bool) -> None:
        self.shape = (8, 8, 8) if cached else (3, 16, 16)

    def __next__(self) -> Batch:
        return torch.rand(2, *self.shape), ["disc 1", "disc 2"]

    def state(self) -> dict[str, int]:
        return {"position": 0}

    def load_state(self, state: dict[str, int]) -> None: ...

    def close(self) -> None: ...


def make_loop(bundle: TextToImage, out: Path, mode: Waits, **more: object) -> Loop:
    """Return the loop of a run on the meta device; the mode looks away while a part is staged."""
    settings = TrainSmooth(out=out, batch=4, accumulate=2, rank=2, **more)  # type: ignore[arg-type]
    attach(bundle.unet, 2)
    if settings.checkpoint_activations:
        recompute_blocks(bundle.unet)
    for module in bundle.modules.values():
        module.to(META)
    task = SmoothTask(bundle, settings, [], META)
    stage = task.stage

    def staged(*args):
        with mode.looking_away():
            return stage(*args)

    task.stage = staged
    loop = Loop(task, Pairs(settings.cache_latents), settings, META)
    loop.log = Log(out, 1, 0, active=False)
    return loop


@pytest.fixture
def kernels():
    """Run as on a GPU, up to the launches of Triton's kernels."""
    pytest.importorskip("triton")
    with kernels_on_meta(), intercepted(lambda *_: None):
        yield


@pytest.mark.parametrize(
    "more",
    [
        {"route": "double-backward", "checkpoint_activations": True},
        {"route": "reverse-over-forward", "ranges": 7, "ema": 0.9},
        {"route": "central-difference", "cache_latents": False},
    ],
    ids=["double-backward", "reverse-over-forward", "central-difference"],
)
def test_a_whole_step_reads_and_copies_nothing(tiny, tmp_path, kernels, more):
    """Two parts with the regularizer, clipping, AdamW, the moving average and the statistic."""
    mode = Waits()
    loop = make_loop(tiny, tmp_path, mode, **more)
    with mode.looking_away(), mode:
        loop.compute_gradients()  # the schedule's tables move once
        loop.update()
    before = mode.operations
    with mode:
        loop.compute_gradients()
        assert not loop._reads()
        loop.update()
    assert mode.operations > before + 500
    assert not mode.seen, mode.seen[:3]
    assert len(loop.taken.losses) == 2 and all(loss.is_meta for loss in loop.taken.losses)


def test_a_wait_would_be_seen(tiny, tmp_path, monkeypatch):
    """With the tables copied anew, a step copies to the device."""
    mode = Waits()
    loop = make_loop(tiny, tmp_path, mode)
    monkeypatch.setattr(Schedule, "_table", lambda self, name, like: getattr(self, name).to(like))
    with mode:
        loop.compute_gradients()
    assert any("_to_copy" in name for name in mode.seen)
    with mode, pytest.raises(RuntimeError, match="meta"):
        loop.taken.losses[0].item()
    assert "_local_scalar_dense" in mode.seen[-1]
