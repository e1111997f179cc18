"""Chapter 8: couplings of two clouds in the plane, entropy's price, and two captions of faces."""

import json
import math
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import couplings, transport
from latentgeo.core.run.seeds import generator
from latentgeo.core.run.text import read_text
from latentgeo.core.sinkhorn import sinkhorn, squared_distances
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.page.canvas import SOFT, Axes, Canvas, Colour
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import sampling_of, seed_noises
from latentgeo.infer.walks.prompt_walk import clouds_of, context_walk, images_of
from latentgeo.models.zoo.places import ZOO

POINTS, FRAMES = 24, 11
PAIRINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "index": lambda x, y: couplings.index(x),
    "optimal": couplings.optimal,
    "random": lambda x, y: couplings.random(x, generator(8, "random")),
}
WIDE, HIGH = 200, 150  # pixels of a panel
FROM, TO, MIDDLE = (217, 98, 43), (61, 133, 198), (70, 70, 78)


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 8; `quick` has fewer ε and steps."""
    x, y = clouds()
    paired = {name: pair(x, y) for name, pair in PAIRINGS.items()}
    prices, plot = of_entropy(x, y, count=3 if quick else 10)
    caption_numbers, film = of_captions(2 if quick else 12)
    return Computed(
        numbers={**of_walks(x, y, paired), **prices, **caption_numbers, **measured()},
        pictures={
            "couplings": panels(x, y, paired, None),
            "sinkhorn": plot,
        },
        frames={
            "walks": {f"s = {i / 10:g}": panels(x, y, paired, i / 10) for i in range(0, FRAMES, 2)},
            "captions": film,
        },
    )


def clouds() -> tuple[Tensor, Tensor]:
    """Return two noisy rings (1, N, 2) numbered alike but for a turn."""
    turn = 2 * math.pi * torch.arange(POINTS, dtype=torch.float64) / POINTS
    noise = torch.randn(2, POINTS, 2, generator=generator(8, "rings"), dtype=torch.float64)
    ring = torch.stack([turn.cos(), turn.sin()], -1)
    turned = torch.stack([(turn + 1.2).cos(), (turn + 1.2).sin()], -1)
    x = ring * torch.tensor([0.9, 1.3]) + 0.12 * noise[0] - torch.tensor([1.6, 0.0])
    y = turned * torch.tensor([1.3, 0.8]) + 0.12 * noise[1] + torch.tensor([1.6, 0.0])
    return x[None], y[None]


def spread(x: Tensor) -> float:
    """Return V, the mean squared distance of a cloud (1, N, D) from its mean."""
    return (x - x.mean(1, keepdim=True)).square().sum(2).mean().item()


def of_walks(x: Tensor, y: Tensor, paired: dict[str, Tensor]) -> dict[str, float]:
    """Return lengths of the walks, the roots of their couplings' costs, and V half-way."""
    ends = (spread(x) + spread(y)) / 2
    found = {"cut_once": transport.w2_printed(x, y).item()}
    twice = (each.repeat_interleave(2, 1) for each in (x, y))
    found["cut_twice"] = transport.w2_printed(*twice).item()
    for name, sigma in paired.items():
        walk = transport.prompt_walk(torch.cat([x, y]), sigma, FRAMES)
        found[f"toy_{name}"] = transport.path_length(walk).item()
        found[f"toy_root_{name}"] = (transport.cost(x, y, sigma) / POINTS).sqrt().item()
        half = transport.displacement(x, y, sigma, 0.5)
        found[f"spread_{name}"] = spread(half) / ends
    return found


def of_entropy(x: Tensor, y: Tensor, count: int) -> tuple[dict[str, float], str]:
    """Return what the entropic plan costs above the exact one, against ε, and one blurred plan."""
    exact, mean = transport.squared_w2(x, y), squared_distances(x, y).mean()
    sizes = mean * torch.logspace(-2, 1, count, dtype=torch.float64)
    above = [(sinkhorn(x, y, one[None], rounds=2000).cost - exact).item() for one in sizes]
    bound = [(one * math.log(POINTS)).item() for one in sizes]
    share = (sizes / mean).tolist()
    plot = lines_plot(
        {"entropic plan, above the exact cost": (share, above), "bound": (share, bound)},
        "ε over the mean cost",
        "squared distance",
        x_scale="log",
        y_scale="log",
    )
    return {"blur_epsilon": share[-1], "blur_ratio": 1 + above[-1] / exact.item()}, plot


def of_captions(steps: int) -> tuple[dict[str, float], dict[str, Image.Image]]:
    """Return the lengths of walks between two captions of faces, and what is drawn along them."""
    bundle, held = load_model("avatars", "cpu"), captioned().chosen(2, 0)
    found = clouds_of(bundle, held.captions)
    x, y = found.points[:1], found.points[1:]
    moved = couplings.optimal(x, y) != couplings.index(x)
    numbers = {
        "tokens": float(x.shape[1]),
        "frames": float(FRAMES),
        "face_gauss": transport.gaussian_squared_w2(x, y).sqrt().item(),
        "face_moved": 100 * moved.double().mean().item(),
    }
    noise, rows = seed_noises([8] * FRAMES, bundle.latent_shape), []
    for name in PAIRINGS:
        walk = context_walk(found, name, FRAMES, 8)
        numbers[f"face_{name}"] = transport.path_length(walk).item()
        rows.append(images_of(bundle, noise, walk, sampling_of(bundle, steps, None)))
    film = {
        f"s = {i / 10:g}, index, optimal, random": grid([[to_picture(row[i])] for row in rows])
        for i in range(0, FRAMES, 2)
    }
    return numbers, film


def measured() -> dict[str, float]:
    """Return what the embedded model's own long measurement of couplings found, in percent."""
    found = json.loads(read_text(ZOO / "avatars" / "transport.json"))
    rows = {(row[0], row[1]): row[2:] for row in found["results"]}
    lpips, w2 = (
        "mean consecutive LPIPS, reduction from index",
        "W2 path length, reduction from index",
    )
    less = rows["avatars: optimal", lpips]
    return {
        "pairs": float(less[3]),
        "lpips_less": 100 * less[0],
        "lpips_less_low": 100 * less[1],
        "lpips_less_high": 100 * less[2],
        "lpips_more": -100 * rows["avatars: random", lpips][0],
        "w2_less": 100 * rows["avatars: optimal", w2][0],
        "w2_more": -100 * rows["avatars: random", w2][0],
    }


def panels(x: Tensor, y: Tensor, paired: dict[str, Tensor], s: float | None) -> Image.Image:
    """Return both clouds under each coupling, with lines between partners, or at s, below each
    other.
    """
    count, still = len(paired), s is None
    canvas = Canvas(WIDE * count, HIGH) if still else Canvas(WIDE, HIGH * count)
    for place, (name, sigma) in enumerate(paired.items()):
        left, top = (place * WIDE, 0) if still else (0, place * HIGH)
        box = (left + 6.0, top + 22.0, left + WIDE - 6.0, top + HIGH - 4.0)
        axes = Axes(canvas=canvas, box=box, x=(-3, 3), y=(-2, 2))
        canvas.text((left + WIDE / 2, top + 4), name, 13, "ma")
        to = transport.matched(y, sigma)[0].tolist()
        if s is None:
            for a, b in zip(x[0].tolist(), to, strict=True):
                canvas.line([axes.at(*a), axes.at(*b)], SOFT, 0.8)
        shown: list[tuple[Tensor, Colour, float]] = [(x[0], FROM, 2.5), (y[0], TO, 2.5)]
        if s is not None:
            shown = [(cloud, tone, 1.2) for cloud, tone, _ in shown]
            shown.append((transport.displacement(x, y, sigma, s)[0], MIDDLE, 3.0))
        for cloud, tone, radius in shown:
            for point in cloud.tolist():
                canvas.dot(axes.at(*point), tone, radius)
    return canvas.picture()
