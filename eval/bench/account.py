"""What a step of `train-smooth` costs: launches, bytes moved, FLOP and memory, without a GPU.

The step runs on tensors that have a shape and no data, once for each way to run it; `meter.py` says
what is counted. The gradients of the trained weights are; the weights are not, which are there
before the step, nor are the optimizer, the VAE and the text encoder.

Dtype   bf16 and fp32 are `train-smooth --dtype`: weights in fp32, which autocast casts, but for the
        frozen ones, cast before the step, and a LoRA's (`models/held_casts.py`). all-bf16 has
        weights and inputs in bfloat16. Autocast takes no meta tensors: it is counted on fake
        tensors of a CPU
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from latentgeo.core.schedule import scaled_linear
from latentgeo.core.smooth import objective, regularizer
from latentgeo.core.variation_routes import ROUTES
from latentgeo.eval.bench.meter import Meter
from latentgeo.eval.bench.settings import BenchAccount
from latentgeo.kernels.aot.launches import kernels_on_meta, replaced
from latentgeo.kernels.wiring.costs import KERNELS
from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.held_casts import HeldCasts
from latentgeo.models.lora import adapter as lora
from latentgeo.models.unet import UNet

DEVICE = "meta"  # tensors with a shape and no data
DTYPE = torch.bfloat16
TOKENS = 77  # of a caption


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run the step."""

    stand_ins: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # by "module:name"
    kernels: bool = False  # whether latentgeo.kernels are Triton's, which has to be installed


@dataclass(frozen=True, kw_only=True)
class Account:
    """What one step costs. Launches and bytes moved are by operation or kernel."""

    calls: Mapping[str, int]
    moved: Mapping[str, int]
    flop: int
    live: int  # bytes held once v is there, for the backward pass
    peak: int  # bytes

    @property
    def launches(self) -> int:
        """The number of kernels launched."""
        return sum(self.calls.values())

    @property
    def bytes(self) -> int:
        """The bytes moved."""
        return sum(self.moved.values())


def math_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return PyTorch's attention (B, H, N, D), in the one form that it can differentiate twice.

    q is (B, H, N, D), k and v are (B, H, M, D).
    """
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v)


def _eager_geglu(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


EAGER_ATTENTION: Final = {"latentgeo.models.layers:attention": math_attention}
EAGER_REST: Final[dict[str, Callable[..., Any]]] = {  # PyTorch's own norms and gates
    "latentgeo.models.layers:group_norm": F.group_norm,
    "latentgeo.models.layers:group_norm_silu": lambda *args: F.silu(F.group_norm(*args)),
    "latentgeo.models.layers:layer_norm": lambda x, weight, bias, eps: F.layer_norm(
        x, x.shape[-1:], weight, bias, eps
    ),
    "latentgeo.models.transformer:geglu": _eager_geglu,
}
VARIANTS: Final[dict[str, Variant]] = {
    "math": Variant(stand_ins={**EAGER_ATTENTION, **EAGER_REST}),
    "reference": Variant(),  # the operators of latentgeo.kernels as they run on a CPU
    "fused-attention": Variant(stand_ins=EAGER_REST, kernels=True),
    "fused": Variant(kernels=True),
}


def account(step: BenchAccount, variant: Variant) -> Account:
    """Return what the step costs when run in this way."""
    schedule, meter = scaled_linear(), Meter()
    with placed(step):
        unet, inner = build(step), torch.float32 if step.dtype == "fp32" else DTYPE
        casts = HeldCasts(unet, DTYPE) if step.dtype == "bf16" and step.rank else None
        outer = DTYPE if step.dtype == "all-bf16" else torch.float32
        shape = step.batch, unet.config.in_channels, step.latent_size, step.latent_size
        x_0, eps, direction = (torch.empty(shape, dtype=outer) for _ in range(3))
        context = torch.empty(step.batch, TOKENS, unet.config.context or 0, dtype=inner)
        t, a = torch.ones(step.batch, dtype=torch.int64), torch.empty(())
        with running(variant, meter), meter:
            with autocast(step), nullcontext() if casts is None else casts.of_a_pass():
                raw, v = ROUTES[step.route](
                    lambda x_t, t: unet(x_t, t - 1, context),
                    schedule, x_0, eps, t, direction, "eps",
                )  # fmt: skip
                loss = objective((raw.to(outer) - eps).square().mean(), regularizer(v, a))
            live = meter.live
            loss.backward()
    return Account(
        calls=meter.calls, moved=meter.moved, flop=meter.flop, live=live, peak=meter.peak
    )


def build(step: BenchAccount) -> UNet:
    """Return the UNet with its adapters, ready for the step, where `placed` has it."""
    unet = UNet(UNET_PRESETS[step.preset])
    if step.rank:
        lora.attach(unet, rank=step.rank)
    return unet.to(DTYPE) if step.dtype == "all-bf16" else unet


@contextmanager
def placed(step: BenchAccount) -> Iterator[None]:
    """Have tensors made on the device that the step is counted on, in a `with` block."""
    if step.dtype == "all-bf16":
        with torch.device(DEVICE):
            yield
        return
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        replaced("latentgeo.core.schedule:Schedule._check", lambda *_, **__: None),  # no values
        replaced("torch.nn:Module._apply", lambda module, *_: module),  # `to` takes no fake tensor
    ):
        yield


def autocast(step: BenchAccount) -> AbstractContextManager[Any]:
    """Return the context that the forward passes run in."""
    return torch.autocast("cpu", DTYPE) if step.dtype == "bf16" else nullcontext()


@contextmanager
def running(variant: Variant, meter: Meter) -> Iterator[None]:
    """Put the stand-ins in place and have the meter record our kernels, in a `with` block.

    Raises RuntimeError for a variant with kernels where triton is not installed.
    """
    with ExitStack() as stack:
        for target, stand_in in variant.stand_ins.items():
            stack.enter_context(replaced(target, stand_in))
        if variant.kernels:
            if importlib.util.find_spec("triton") is None:
                raise RuntimeError("this variant runs Triton kernels, and triton is not installed")
            stack.enter_context(kernels_on_meta())
            stack.enter_context(meter.recording(KERNELS))
        yield


def bench_account(cmd: BenchAccount) -> str:
    """Return a table of what the step costs in each of these ways, and what `top` of it is."""
    with placed(cmd):
        weights = sum(weight.nbytes for weight in build(cmd).parameters())
    found = {name: account(cmd, VARIANTS[name]) for name in cmd.variants}
    lines = [
        f"{'':<28}{'launches':>9}{'GB moved':>10}{'TFLOP':>8}{'GB live':>9}{'GB peak':>9}",
        *(row(name, costs) for name, costs in found.items()),
        f"live is held for the backward pass; {weights / 1e9:.2f} GB of weights come on top",
    ]
    for name, costs in found.items():
        lines += heaviest(name, costs, cmd.top)
    return "\n".join(lines)


def row(name: str, costs: Account) -> str:
    """Return a line of the table."""
    return (
        f"{name:<28}{costs.launches:>9,}{costs.bytes / 1e9:>10.1f}{costs.flop / 1e12:>8.2f}"
        f"{costs.live / 1e9:>9.2f}{costs.peak / 1e9:>9.2f}"
    )


def heaviest(name: str, costs: Account, top: int) -> list[str]:
    """Return lines for the `top` operations and kernels by bytes moved, if any are asked for."""
    ranked = sorted(costs.moved.items(), key=lambda entry: -entry[1])[:top]
    lines = [f"  {key:<26}{costs.calls[key]:>9,}{moved / 1e9:>10.1f}" for key, moved in ranked]
    return ["", name, *lines] if lines else []
