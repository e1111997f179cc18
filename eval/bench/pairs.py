"""Benchmarks against a peer in the same process, and the UNet's forward pass by them.

Absolute times depend on the machine; the ratio to the peer, measured in turn with it, is the
result. The peer is the package diffusers, with our weights (`peers.py`).
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.eval.bench.peers import diffusers_unet
from latentgeo.eval.bench.settings import BenchUnet
from latentgeo.models.bundles.presets import TEXT_PRESETS, UNET_PRESETS, VAE_PRESETS
from latentgeo.models.bundles.text_to_image import BundleConfig
from latentgeo.models.unet import UNet


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one contender over its rounds."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.seconds)


def in_turn(
    contenders: dict[str, Callable[[], object]], rounds: int, warm_up: bool = True
) -> list[Timing]:
    """Run the contenders one after the other, `rounds` times after a warm-up, and time each."""
    for run in contenders.values() if warm_up else ():
        run()
    synchronize()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            synchronize()
            seconds[name].append(time.perf_counter() - start)
    return [Timing(name=name, seconds=times) for name, times in seconds.items()]


def synchronize() -> None:
    """Wait for the GPU, if one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def table(timings: list[Timing]) -> str:
    """Return the timings as text, each with its ratio to the last, which is the peer."""
    peer = timings[-1].median
    lines = [f"{'':<34}{'median s':>10}{'min s':>10}{'max s':>10}{'/ peer':>9}"]
    for t in timings:
        low, high = min(t.seconds), max(t.seconds)
        lines.append(
            f"{t.name:<34}{t.median:>10.3f}{low:>10.3f}{high:>10.3f}{t.median / peer:>9.3f}"
        )
    return "\n".join(lines)


def bench_unet(cmd: BenchUnet) -> str:
    """Return a table of forward passes, ours and diffusers', and the process's peak memory."""
    unet = build(cmd.preset)
    x, t, context = inputs(unet, cmd.batch, cmd.latent_size)
    contenders: dict[str, Callable[[], object]] = {}
    if cmd.alone in (None, "ours"):
        contenders["ours"] = lambda: unet(x, t, context)
    if cmd.alone in (None, "diffusers"):
        peer = diffusers_unet(unet)
        contenders["diffusers"] = lambda: peer(x, t, context).sample
    with torch.no_grad():
        timings = in_turn(contenders, cmd.rounds)
        text = table(timings)
        if cmd.alone is None:
            difference = (unet(x, t, context) - peer(x, t, context).sample).abs().max()
            text += f"\nlargest difference of the outputs: {difference:.2e}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{text}\npeak memory of this process: {peak:.2f} GiB"


def preset_config(preset: str) -> BundleConfig:
    """Return the configuration of a whole model of a preset."""
    return BundleConfig(
        name=preset,
        unet=UNET_PRESETS[preset],
        vae=VAE_PRESETS[preset],
        text=TEXT_PRESETS[preset],
    )


def build(preset: str) -> UNet:
    """Return the UNet of a preset, its weights random; ValueError for another name."""
    if preset not in UNET_PRESETS:
        raise ValueError(f"preset must be one of {', '.join(UNET_PRESETS)}, got {preset!r}")
    torch.manual_seed(0)
    return UNet(UNET_PRESETS[preset])


def inputs(unet: UNet, batch: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x (B, C, H, W), the network's time index (B,) and a context (B, 77, K)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, unet.config.in_channels, size, size, generator=generator)
    context = torch.randn(batch, 77, unet.config.context or 0, generator=generator)
    return x, torch.randint(0, 1000, (batch,), generator=generator), context
