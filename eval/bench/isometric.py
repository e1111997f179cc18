"""A training step of Isometric Diffusion, timed and counted beside the published formulation.

Contenders  a plain denoising step; ours, there and back at tangents (core/round_trip.py); the
            published one: three products of h ∘ Π⁻¹ in the chart's coordinates, two JVPs and a VJP,
            each by reverse mode with a graph, through diffusers' UNet, run to its end though h is
            its middle. Also the published products through our encoder, which says what is due to
            the formulation and what to the network. One set of weights, one x_t, one probe
Step        L_dsm + λ L_iso, and L_iso alone; its extra memory is what the step holds above the
            plain one. λ changes nothing of the cost
Peer        the loss that the released code trains latent models with (`isometry_loss_t`); what it
            trains pixel models with has no gradient, so its time is no measure
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import jvp, vjp

from latentgeo.core.isometry import Traces, isometry_loss, traces
from latentgeo.core.run.device import pick_device
from latentgeo.core.sphere import onto, scaled_chart, scaled_chart_inverse, scaled_metric
from latentgeo.eval.bench.pairs import in_turn
from latentgeo.eval.bench.peers import diffusers, diffusers_image_unet
from latentgeo.eval.bench.settings import BenchIsometric
from latentgeo.eval.bench.step import Count, count
from latentgeo.models.bundles.image_model import ImageModel, new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS

PLAIN = "plain, no isometry loss"
OURS, PUBLISHED, REWIRED = "ours", "published (diffusers)", "published, our network"
ALONE = ", L_iso alone"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a step is given: x_t (B, C, H, W), its r (B,), a probe v (B, n - 1), times t (B,)."""

    x: Tensor
    r: Tensor
    v: Tensor
    t: Tensor
    eps: Tensor


def bench_isometric(cmd: BenchIsometric) -> str:
    """Return a table of training steps, in float32: seconds, memory and launches of each.

    Raises ValueError for a preset that there is not.
    """
    if cmd.preset not in TRAINED_PRESETS:
        known = ", ".join(TRAINED_PRESETS)
        raise ValueError(f"preset must be one of {known}, got {cmd.preset!r}")
    torch.manual_seed(0)
    model = new_image_model(TRAINED_PRESETS[cmd.preset]).to(pick_device(cmd.device), torch.float32)
    contenders = steps(model, cmd.batch)
    counts = {name: count(step) for name, step in contenders.items()}
    seconds = {timing.name: timing.median for timing in in_turn(contenders, cmd.rounds)}
    return table(seconds, counts)


def table(seconds: dict[str, float], counts: dict[str, Count]) -> str:
    """Return the table: `/ peer` is to the published formulation of the same step."""
    plain = counts[PLAIN].peak
    heads = f"{'':<36}{'median s':>10}{'/ peer':>8}{'extra GB':>10}{'/ peer':>8}{'launches':>10}"
    lines = [heads]
    for name, found in counts.items():
        peer = PUBLISHED + ALONE if name.endswith(ALONE) else PUBLISHED
        extra, theirs = found.peak - plain, counts[PUBLISHED].peak - plain
        lines.append(
            f"{name:<36}{seconds[name]:>10.3f}{seconds[name] / seconds[peer]:>8.3f}"
            f"{extra / 1e9:>10.3f}{extra / theirs:>8.3f}{found.launches:>10,}"
        )
    return "\n".join(lines)


def steps(model: ImageModel, batch: int) -> dict[str, Callable[[], object]]:
    """Return the contenders by name, each a step that returns its loss."""
    given = inputs(model, batch)
    middle = OfDiffusers(model, given)
    unet, peer = model.unet, middle.unet
    found: dict[str, Callable[[], object]] = {
        PLAIN: lambda: backward(unet, denoising(model, given)),
        OURS: lambda: backward(unet, denoising(model, given) + ours(model, given)),
        OURS + ALONE: lambda: backward(unet, ours(model, given)),
        PUBLISHED: lambda: backward(peer, middle.denoising() + published(middle, given)),
        PUBLISHED + ALONE: lambda: backward(peer, published(middle, given)),
        REWIRED + ALONE: lambda: backward(unet, published(of_ours(model, given), given)),
    }
    return found


def inputs(model: ImageModel, batch: int) -> Inputs:
    """Return a batch of noise with its place on the sphere, at times above T / 2."""
    weight = next(model.unet.parameters())
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(3, batch, *model.shape, generator=generator).to(weight)
    r = drawn[0].flatten(1).norm(dim=1)
    t = torch.randint(501, 1001, (batch,), generator=generator).to(weight.device)
    v = drawn[1].flatten(1)[:, :-1]
    return Inputs(x=onto(drawn[0], r), r=r, v=v, t=t, eps=drawn[2])


def denoising(model: ImageModel, given: Inputs) -> Tensor:
    """Return the base loss (), of x_t (B, C, H, W) and its ε."""
    return (model.raw()(given.x, given.t) - given.eps).square().mean()


def ours(model: ImageModel, given: Inputs) -> Tensor:
    """Return L_iso () at the tangent that the published probe is.

    Iso Eq. 6   w = ∂Π⁻¹/∂z v / √G is standard normal on the tangent space where v is on the chart
    """
    return isometry_loss(
        traces(lambda x: model.encode_h(x, given.t)[0], given.x, tangent_of(given)[None])
    )


def tangent_of(given: Inputs) -> Tensor:
    """Return the tangent (B, C, H, W) of the chart's direction v, of the length that v has."""
    z = scaled_chart(given.x, given.r)
    w = torch.func.jvp(lambda z: scaled_chart_inverse(z, given.r), (z,), (given.v,))[1]
    return (w / scaled_metric(z, given.r).sqrt().unsqueeze(1)).reshape(given.x.shape)


def published(encode: Callable[[Tensor], Tensor], given: Inputs) -> Tensor:
    """Return L_iso () as published: three products by reverse mode, in the chart's coordinates.

    Iso Eq. 6   Tr(R) by J_f G^-½ v, Tr(R²) by J_fᵀ J_f G⁻¹ v (G is a number per sample)
    """
    z = scaled_chart(given.x, given.r)
    G = scaled_metric(z, given.r).unsqueeze(1)

    def f(z: Tensor) -> Tensor:
        return encode(scaled_chart_inverse(z, given.r).reshape(given.x.shape))

    s = jvp(f, z, given.v / G.sqrt(), create_graph=True)[1]
    y = vjp(f, z, jvp(f, z, given.v / G, create_graph=True)[1], create_graph=True)[1]
    return isometry_loss(Traces(_square(s)[None], _square(y)[None]))


def of_ours(model: ImageModel, given: Inputs) -> Callable[[Tensor], Tensor]:
    """Return our encoder, x (B, C, H, W) to h."""
    return lambda x: model.encode_h(x, given.t)[0]


class OfDiffusers:
    """diffusers' UNet with our weights, and h as a hook on its middle sees it."""

    def __init__(self, model: ImageModel, given: Inputs) -> None:
        self.unet, self.given = diffusers_image_unet(model).to(given.x), given
        self.patch = model.shape[-1] // self.unet.config.sample_size
        for module in self.unet.modules():
            if hasattr(module, "set_processor"):  # attention that can be differentiated twice
                module.set_processor(diffusers().models.attention_processor.AttnProcessor())
        self.unet.mid_block.register_forward_hook(self._keep)

    def __call__(self, x: Tensor) -> Tensor:
        """Return h of x (B, C, H, W), from a run of the whole network."""
        self._run(x)
        return self.h

    def denoising(self) -> Tensor:
        """Return the base loss (), as `denoising` of ours."""
        wanted = F.pixel_unshuffle(self.given.eps, self.patch)
        return (self._run(self.given.x) - wanted).square().mean()

    def _run(self, x: Tensor) -> Tensor:
        predicted: Tensor = self.unet(F.pixel_unshuffle(x, self.patch), self.given.t - 1).sample
        return predicted

    def _keep(self, module: nn.Module, arguments: object, h: Tensor) -> None:
        self.h = h


def backward(network: nn.Module, loss: Tensor) -> Tensor:
    """Run backward, clear the gradients, and return the loss ()."""
    loss.backward()
    network.zero_grad()
    return loss.detach()


def _square(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1)
