"""Full fine-tuning cut over ranks equals that of one, and its checkpoints fit any number."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from latentgeo.models.bundles.text_to_image import TextToImage, load_bundle, save_bundle
from latentgeo.models.recompute import recompute_blocks
from latentgeo.train.data.latents import cached
from latentgeo.train.data.stream import open_source
from latentgeo.train.loop.checkpoint import load_newest
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import stream
from latentgeo.train.loop.sharded import shard
from latentgeo.train.smoothing.adapter import adapt
from latentgeo.train.smoothing.settings import TrainSmooth
from latentgeo.train.smoothing.smooth import SmoothTask
from tests.train.ranks import CPU, assert_close, together

STEPS = 3


def full_loop(folder: Path, out: Path, route: str, **changes: Any) -> Loop:
    """Return the loop of a float64 run that trains every weight, batches of 4 in two parts."""
    settings = TrainSmooth(
        out=out,
        adapter="full",
        route=route,  # type: ignore[arg-type]
        **{"steps": STEPS, "batch": 4, "accumulate": 2, "rate": 0.01, "sample_every": 2} | changes,
    )
    bundle = load_bundle(folder / "model", dtype=torch.float64)
    adapt(bundle.unet, settings)
    if settings.checkpoint_activations:
        recompute_blocks(bundle.unet)
    bundle.vae.float()
    source = cached(open_source(str(folder / "pictures"), 16), bundle.vae, CPU)
    bundle.vae.double()
    sharded = shard(bundle.unet, CPU, route)
    task = SmoothTask(bundle, settings, ["disc 3"], CPU)
    return Loop(task, stream(source, settings), settings, CPU, sharded)


def train(folder: Path, out: str, route: str, **changes: Any) -> None:
    full_loop(folder, folder / out, route, **changes).run()


def state_of(folder: Path, out: str) -> dict[str, Any]:
    state = load_newest(folder / out / "checkpoints")
    assert state is not None
    return state


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, tiny: TextToImage) -> Path:
    save_bundle(tiny, tmp_path / "model")
    (tmp_path / "pictures").symlink_to(pictures)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "changes", "tolerance"),  # a difference divides rounding by its step, 6e-6
    [
        ("double-backward", {"checkpoint_activations": True, "ema": 0.9}, 1e-10),
        ("central-difference", {"steps": 1, "sample_every": 0}, 1e-6),
    ],
)
def test_cut_over_two_ranks_the_training_is_the_same(
    folder: Path, route: str, changes: dict[str, Any], tolerance: float
) -> None:
    """Smooth Tab. 4, "full": weights, moments and a after three steps, and the model written."""
    train(folder, "one", route, **changes)
    together(2, partial(train, folder, "two", route, **changes))
    one, two = state_of(folder, "one"), state_of(folder, "two")
    assert_close(one["weights"], two["weights"], tolerance)
    assert_close(one["task"], two["task"], tolerance)
    for i, moments in one["optimizer"]["state"].items():
        assert_close(moments, two["optimizer"]["state"][i], tolerance)
    first, second = (load_bundle(folder / out, dtype=torch.float64) for out in ("one", "two"))
    assert_close(first.unet.state_dict(), second.unet.state_dict(), 1e-6)  # files are float32
    before = load_bundle(folder / "model").unet.conv_in.weight
    assert not torch.equal(first.unet.conv_in.weight.float(), before)


@pytest.mark.slow
def test_a_checkpoint_resumes_on_another_number_of_ranks(folder: Path) -> None:
    """Two ranks take over from one, and one from two; the end is that of one alone."""
    for_speed = {"sample_every": 0, "accumulate": 1}
    train(folder, "whole", "double-backward", **for_speed)
    train(folder, "cut", "double-backward", steps=1, **for_speed)
    together(2, partial(train, folder, "cut", "double-backward", steps=2, resume=True, **for_speed))
    train(folder, "cut", "double-backward", resume=True, **for_speed)
    whole, cut = state_of(folder, "whole"), state_of(folder, "cut")
    assert whole["step"] == cut["step"] == STEPS
    assert_close(whole["weights"], cut["weights"], 1e-10)
    assert_close(whole["task"], cut["task"], 1e-10)


def refused(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"route: got reverse-over-forward .* FSDP2 passes no dual numbers"
    ):
        full_loop(folder, folder / "refused", "reverse-over-forward")


def test_a_route_that_cannot_be_cut_is_refused_by_name(folder: Path) -> None:
    together(2, partial(refused, folder))
    train(folder, "one", "reverse-over-forward", steps=1)  # one rank needs no cutting
