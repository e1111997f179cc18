"""Noise schedules and the times a sampler visits.

DDPM (arXiv 2006.11239) defines β_t and ᾱ_t; DDIM (arXiv 2010.02502) writes α_t for ᾱ_t; Smooth
Diffusion (arXiv 2312.04410) prints α_t where ᾱ_t is meant in its Eq. 3 and 4. Here α_t = 1 - β_t
and ᾱ_t = Π_{s≤t} α_s, always.

Notation  beta[t] = β_t, alpha_bar[t] = ᾱ_t, both float64 of length T + 1
Time      the paper's t = 1..T, and t = 0 is clean data: β_0 = 0, ᾱ_0 = 1. A network's own index is
          τ = t - 1 in 0..T-1; that shift is made where the network is called and nowhere else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from latentgeo.core.precision import wide

Spacing = Literal["leading", "trailing", "linspace"]
Landing = Literal["first", "zero"]
Place = tuple[str, torch.device, torch.dtype]  # of a table: which, where, in what


@dataclass(frozen=True, eq=False)
class Schedule:
    """The tables β (T+1,) and ᾱ (T+1,), float64, indexed by the paper's t.

    DDPM Eq. 4   ᾱ_t = Π_{s=1..t} (1 - β_s), so ᾱ_0 = 1 with β_0 = 0
    """

    beta: Tensor  # (T+1,)
    alpha_bar: Tensor  # (T+1,)
    moved: dict[Place, Tensor] = field(default_factory=dict, init=False, repr=False)  # see `_table`

    def __post_init__(self) -> None:
        """Check the boundary values and that ᾱ is the running product of 1 - β."""
        beta, bar = self.beta, self.alpha_bar
        if beta.ndim != 1 or beta.shape != bar.shape or len(beta) < 2:
            raise ValueError(
                f"beta {tuple(beta.shape)} and alpha_bar {tuple(bar.shape)} must both be (T+1,)"
            )
        if beta.dtype != torch.float64 or bar.dtype != torch.float64:
            raise ValueError(
                f"beta and alpha_bar must be float64, got {beta.dtype} and {bar.dtype}"
            )
        if beta[0] != 0 or bar[0] != 1:
            raise ValueError(
                f"beta[0] must be 0 and alpha_bar[0] 1, got {beta[0].item()} and {bar[0].item()}"
            )
        if not bool(((beta[1:] > 0) & (beta[1:] < 1)).all()):
            low, high = beta[1:].min().item(), beta[1:].max().item()
            raise ValueError(
                f"every beta[t], t >= 1, must lie strictly between 0 and 1, got {low:g}..{high:g}"
            )
        if not torch.allclose(bar, (1 - beta).cumprod(0), rtol=1e-9, atol=0):
            raise ValueError("alpha_bar must be the running product of 1 - beta")

    @property
    def T(self) -> int:
        """The number of noising steps."""
        return len(self.beta) - 1

    def at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return β_t, ᾱ_t, ᾱ_{t-1} (B, 1, ...) to go with `like` (B, ...); t (B,) in 1..T."""
        self._check(t, lowest=1)
        bar_prev = self._rows("alpha_bar", t - 1, like)
        return self._rows("beta", t, like), self._rows("alpha_bar", t, like), bar_prev

    def bar(self, t: Tensor, like: Tensor) -> Tensor:
        """Return ᾱ_t (B, 1, ...) to go with `like` (B, ...); t (B,) in 0..T.

        On like's device and in its dtype, but never below float32: ᾱ_1 = 0.99915 is 1 in bfloat16,
        and √(1-ᾱ_1) would vanish.
        """
        self._check(t, lowest=0)
        return self._rows("alpha_bar", t, like)

    def _rows(self, name: str, t: Tensor, like: Tensor) -> Tensor:
        return column(self._table(name, like)[t.to(like.device)], like)

    def _table(self, name: str, like: Tensor) -> Tensor:
        """Return a table on like's device, moved there once: every copy would make a GPU wait."""
        place = name, like.device, wide(like.dtype)
        if place in self.moved:
            return self.moved[place]
        with torch.inference_mode(False):
            table: Tensor = getattr(self, name).to(place[2]).to(like.device)
        if not torch.compiler.is_compiling() and peek_interpreter_stack() is None:
            self.moved[place] = table  # what a transform is given is of no use outside of it
        return table

    def _check(self, t: Tensor, lowest: int) -> None:
        if t.ndim != 1 or t.is_floating_point():
            raise ValueError(f"t must be an integer tensor (B,), got {t.dtype} {tuple(t.shape)}")
        if t.device.type != "cpu" or torch.compiler.is_compiling():
            return  # looking at values would wait for a GPU and break a compiled graph
        if bool(((t < lowest) | (t > self.T)).any()):
            raise ValueError(
                f"t must lie in {lowest}..{self.T}, got {t.min().item()}..{t.max().item()}"
            )


def column(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per sample, (B,), as (B, 1, ...), to go with `like` (B, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def batch_time(t: int, like: Tensor) -> Tensor:
    """Return the time t for each of the B samples of `like` (B, ...): int64 (B,) on its device."""
    return torch.full((len(like),), t, dtype=torch.int64, device=like.device)


def from_beta(beta: Tensor) -> Schedule:
    """Build the tables from β_1..β_T (T,)."""
    beta = torch.cat([torch.zeros(1, dtype=torch.float64), beta.to(torch.float64)])
    return Schedule(beta, (1 - beta).cumprod(0))


def linear(T: int = 1000, start: float = 1e-4, end: float = 2e-2) -> Schedule:
    """β linear in t, as in DDPM Sec. 4a: β_1 = 1e-4 to β_T = 0.02.

    Iso Sec. 3.1b   printed from β_0 at t = 0 on, so that β_1 = 1.199e-4; DDPM's models have this
    """
    return from_beta(torch.linspace(start, end, T, dtype=torch.float64))


def scaled_linear(T: int = 1000, start: float = 0.00085, end: float = 0.012) -> Schedule:
    """√β linear in t, as latent-diffusion's `make_beta_schedule("linear")`: Stable Diffusion."""
    return from_beta(torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2)


def cosine(T: int = 1000, shift: float = 0.008) -> Schedule:
    """Improved DDPM's schedule (arXiv 2102.09672), β clipped at 0.999.

    IDDPM Eq. 17   ᾱ_t = f(t)/f(0), f(t) = cos²((t/T + s)/(1 + s) π/2)
    """
    t = torch.arange(T + 1, dtype=torch.float64)
    f = ((t / T + shift) / (1 + shift) * math.pi / 2).cos() ** 2
    return from_beta((1 - f[1:] / f[:-1]).clamp(max=0.999))


SCHEDULES: Final[dict[str, Callable[..., Schedule]]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "cosine": cosine,
}


def respaced(schedule: Schedule, visited: tuple[int, ...]) -> Schedule:
    """Return the schedule whose steps 1 … S are the times of `schedule` that are visited.

    IDDPM Eq. 19   β_{S_t} = 1 - ᾱ_{S_t} / ᾱ_{S_{t-1}}

    `visited` descends to 0 (`times` with final "zero"); step i of the result is its i-th time from
    the end. Raises ValueError where it lands elsewhere.
    """
    check_times(schedule, visited)
    if visited[-1] != 0:
        raise ValueError(f"visited lands on t = {visited[-1]}, wanted clean data, t = 0")
    bar = schedule.alpha_bar[list(reversed(visited))]
    return from_beta(1 - bar[1:] / bar[:-1])


def times(
    schedule: Schedule,
    steps: int,
    spacing: Spacing = "leading",
    offset: int = 1,
    final: Landing = "first",
) -> tuple[int, ...]:
    """Return steps + 1 strictly descending times: the network runs at all but the last.

    leading    t = 1 + offset + i ⌊T/steps⌋       SD at 50 steps: 982, 962, ..., 2 (τ = 981 ... 1)
    trailing   t = T - i T/steps, rounded          1000, 980, ..., 20
    linspace   steps points from T to 1, rounded   1000, 980, ..., 1
    final      "first" is t = 1 (Stable Diffusion's set_alpha_to_one=False), "zero" clean data

    Raises ValueError where the request has no such sequence (more steps than T, a time above T, two
    equal times).
    """
    if not 1 <= steps <= schedule.T:
        raise ValueError(f"steps must lie in 1..T = {schedule.T}, got {steps}")
    if final not in ("first", "zero"):
        raise ValueError(f"final must be 'first' or 'zero', got {final!r}")
    if spacing != "leading" and offset not in (0, 1):
        raise ValueError(
            f"offset {offset} applies to spacing 'leading' only, got spacing {spacing!r}"
        )
    visited = _visited(schedule.T, steps, spacing, offset)
    if visited[0] > schedule.T or visited[-1] < 1:
        raise ValueError(
            f"{steps} steps with spacing {spacing!r} and offset {offset} visit t = {visited[0]}"
            f"..{visited[-1]}, outside 1..{schedule.T}; use fewer steps, offset=0 or 'trailing'"
        )
    last = 1 if final == "first" else 0
    if visited[-1] <= last:
        raise ValueError(
            f"the network runs last at t = {visited[-1]} and final={final!r} lands on t = {last}, "
            "which is no step; use final='zero', a larger offset or fewer steps"
        )
    return (*visited, last)


def _visited(T: int, steps: int, spacing: Spacing, offset: int) -> list[int]:
    if spacing == "leading":
        return [1 + offset + i * (T // steps) for i in reversed(range(steps))]
    if spacing == "trailing":
        return [round(T - i * (T / steps)) for i in range(steps)]
    if spacing == "linspace":
        if steps < 2:
            raise ValueError(
                "spacing 'linspace' joins T to 1 and needs at least 2 steps; use 'trailing'"
            )
        return [1 + round(i * ((T - 1) / (steps - 1))) for i in reversed(range(steps))]
    raise ValueError(f"spacing must be 'leading', 'trailing' or 'linspace', got {spacing!r}")


def late_times(visited: tuple[int, ...], strength: float) -> tuple[int, ...]:
    """Return the last round(strength N) + 1 of N + 1 times, two at least; strength 1 is all.

    Raises ValueError unless strength is in (0, 1].
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be in (0, 1], got {strength}")
    return visited[-1 - max(1, round(strength * (len(visited) - 1))) :]


def check_times(schedule: Schedule, visited: tuple[int, ...]) -> None:
    """Raise ValueError unless `visited` has two or more strictly descending times within 0..T."""
    descending = all(a > b for a, b in itertools.pairwise(visited))
    if len(visited) < 2 or not descending or visited[0] > schedule.T or visited[-1] < 0:
        raise ValueError(
            f"times must be 2 or more, descending within 0..{schedule.T}, got {visited}"
        )
