"""Chapter 3: how long noises are, walks between them, their sphere at time t, and its chart."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import sphere
from latentgeo.core.ddpm import q_sample
from latentgeo.core.interpolate import Path, lerp, slerp, sweep
from latentgeo.core.precision import norms
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, linear
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.page.plots import curves_plot
from latentgeo.eval.toy.pictures import Panel, maps_picture
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_image
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images

LATENT, PIXELS, STABLE = 1024, 3 * 64 * 64, 4 * 64 * 64  # numbers in a noise of each model
PATHS: Mapping[str, Path] = {"straight": lerp, "slerp": slerp}
SCHEDULE = linear()


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 3; `quick` has fewer walks in fewer steps."""
    numbers = {**of_lengths(), **of_steps(), **of_metrics()}
    pictures: dict[str, str | Image.Image] = {"lengths": lengths_plot(), "chart": chart_picture()}
    radii, pictures["radius"] = of_radius()
    film, pictures["middles"], contrasts = of_walks(*((1, 2) if quick else (5, 15)))
    numbers |= {**radii, **contrasts}
    return Computed(numbers=numbers, pictures=pictures, frames={"walk": film})


def noises(what: str, *shape: int) -> Tensor:
    """Return normal numbers of a stream of their own, float64."""
    return torch.randn(*shape, generator=generator(3, what), dtype=torch.float64)


def of_lengths() -> dict[str, float]:
    """Return mean and deviation of lengths, and of the angle and the midpoint of two noises."""
    a, b = noises("lengths", 2, 4096, LATENT)
    length, middle = norms(a), norms(lerp(a, b, 0.5))
    return {
        "length_mean": length.mean().item(),
        "length_std": length.std().item(),
        "cosine_std": ((a * b).sum(1) / norms(a) / norms(b)).std().item(),
        "midpoint_length": middle.mean().item(),
        "midpoint_deviations": ((length.mean() - middle.mean()) / length.std()).item(),
    }


def lengths_plot() -> str:
    """Return the length along walks of 256 pairs, with the range of 95 % of them, as SVG."""
    a, b = noises("walks", 2, 256, LATENT)
    curves = {}
    for name, path in PATHS.items():
        at = torch.stack([norms(point) for point in sweep(a, b, 21, path)])  # (21, 256)
        low, high = at.quantile(torch.tensor([0.025, 0.975]).double(), dim=1).tolist()
        place = [i / 20 for i in range(21)]
        curves[name] = list(zip(place, at.mean(1).tolist(), low, high, strict=True))
    return curves_plot(curves, "place on the walk, w", "length of the point")


def of_steps() -> dict[str, float]:
    """Return by how many percent the steps of the least even of 500 slerps differ."""
    found = {}
    for n in (LATENT, STABLE):
        pairs = noises("steps", 500, 2, n)
        length = pairs.norm(dim=2)
        a, b = pairs[(length[:, 0] / length[:, 1]).log().abs().argmax()].unsqueeze(1)
        steps = sweep(a, b, 11).diff(dim=0).norm(dim=2)
        found[f"uneven_{n}"] = 100 * (steps.max() / steps.min() - 1).item()
    return found


def of_radius() -> tuple[dict[str, float], str]:
    """Return how far the paper's radius is from the length of noisy faces, and both as SVG."""
    x_0 = captioned().chosen(64, 0).images(64).double()
    eps, second = noises("radius", *x_0.shape), x_0.square().mean().item()
    rows = []
    for t in range(50, 1001, 50):
        x_t = q_sample(SCHEDULE, x_0, batch_time(t, x_0), eps)
        paper = sphere.radius(SCHEDULE, x_t, batch_time(t, x_0), "marginal")[0].item()
        bar = SCHEDULE.alpha_bar[t].item()
        whole = (PIXELS * (bar * second + 1 - bar)) ** 0.5
        rows.append((float(t), norms(x_t).mean().item(), paper, whole))
    names = "measured", "√(n(1-ᾱ))", "with the image's part"
    times, *lengths = zip(*rows, strict=True)
    curves = {
        k: (times, [v / PIXELS**0.5 for v in at]) for k, at in zip(names, lengths, strict=True)
    }
    plot = lines_plot(curves, "t", "length of x_t over √n")
    short = {f"short_{int(row[0])}": 100 * (1 - row[2] / row[1]) for row in rows}
    return {"second_moment": second, **short}, plot


def of_metrics() -> dict[str, float]:
    """Return how the metric scatters in many dimensions, and print's beside that of its chart."""
    x = noises("metric", 1000, PIXELS)
    G = sphere.scaled_metric_at(x, norms(x))
    r = torch.tensor([PIXELS**0.5]).double()
    equator, half = (torch.full((1, 1), rho).double() for rho in (1.0, 0.5))
    return {
        "metric_spread": (G.std() / G.mean()).item(),
        "unit_metric": sphere.unit_metric(equator, r).item(),
        "printed_metric": sphere.scaled_metric(equator, r).item(),
        "unit_growth": (sphere.unit_metric(half, r) / sphere.unit_metric(equator, r)).item(),
        "printed_growth": (sphere.scaled_metric(half, r) / sphere.scaled_metric(equator, r)).item(),
    }


def chart_picture() -> Image.Image:
    """Return the sphere, and its stereographic picture."""

    def project(x: Tensor) -> Tensor:
        return sphere.unit_chart(x, norms(x))

    note = "below: circles of one size"
    flat = Panel("stereographic, from the north pole", project, "circles stay circles, and grow")
    maps = maps_picture([Panel("the sphere", None, note), flat], gap=60)
    return maps.resize((3 * maps.width // 4, 3 * maps.height // 4))


def of_walks(
    pairs: int, steps: int
) -> tuple[dict[str, Image.Image], Image.Image, dict[str, float]]:
    """Return a film of one pair along both paths, the middles of several, and their contrast."""
    model = load_image("avatars-ddpm", "cpu")
    a, b = torch.randn(2, pairs, *model.shape, generator=generator(3, "films"))

    def images(x: Tensor) -> Tensor:
        sampling = ImageSampling(steps=steps)
        return torch.cat(list(generate_images(model, x, sampling, range(len(x)))))

    films = [images(sweep(a[-1:], b[-1:], 7, path)[:, 0]) for path in PATHS.values()]
    film = {
        f"w = {i / 6:.2f}, above straight, below slerp": grid([[to_picture(x[i])] for x in films])
        for i in range(7)
    }
    points = {"ends": a, "slerp": slerp(a, b, 0.5), "straight": lerp(a, b, 0.5)}
    numbers, rows = {"pairs": float(pairs)}, []
    for name, x in points.items():
        found = images(x)
        numbers[f"contrast_{name}"] = found.flatten(1).std(1).mean().item()
        numbers[f"detail_{name}"] = found.diff(dim=3).abs().mean().item()  # of neighbouring pixels
        rows.append([to_picture(image) for image in found])
    numbers["detail_lost"] = 100 * (1 - numbers["detail_straight"] / numbers["detail_slerp"])
    return film, grid(rows[1:], row_labels=["slerp", "straight"]), numbers
