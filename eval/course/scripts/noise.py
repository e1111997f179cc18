"""Chapter 1: schedules, what they leave of the data, and the best that a network can do."""

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import forward_step, q_sample, simple_loss
from latentgeo.core.gaussian import Gaussian, exact_eps, flow, marginal
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import Schedule, batch_time
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.page.canvas import SOFT, Axes, Canvas
from latentgeo.infer.pictures.images import to_picture
from latentgeo.infer.pictures.plots import COLOURS

SD = schedules.scaled_linear()  # Stable Diffusion's
ALL = {"Stable Diffusion": SD, "DDPM": schedules.linear(), "cosine": schedules.cosine()}
TIMES = (0, 20, 60, 120, 200, 300, 400, 500, 600, 700, 850, 1000)
CLUSTERS = ((0.3, -2.0, 0.25), (0.7, 1.0, 0.45))  # weight, mean, standard deviation
NOISED = (0, 60, 120, 200, 300, 400, 600, 1000)  # times of a face
FACE = 7  # of the held-out faces


def compute(*, quick: bool) -> Computed:
    """Return the chapter's numbers and pictures."""
    count = 2_000 if quick else 200_000
    numbers = {f"left_{name}": table.alpha_bar[-1].sqrt().item() for name, table in ALL.items()}
    numbers = {key.replace(" ", "_"): value for key, value in numbers.items()}
    numbers |= composition(count) | darkening() | first_step() | least_loss(count)
    return Computed(
        numbers=numbers,
        pictures={"schedules": schedules_plot(), "loss": loss_plot()},
        frames={"clusters": clusters(), "face": face()},
    )


def schedules_plot() -> str:
    """Return √ᾱ_t, what is left of the data, of each schedule."""
    t = list(range(1001))
    return lines_plot(
        {name: (t, table.alpha_bar.sqrt().tolist()) for name, table in ALL.items()}, "t", "√ᾱ_t"
    )


def composition(count: int) -> dict[str, float]:
    """Take 500 single steps; compare their total noise with that of the last, Smooth Err. 1."""
    draws = generator(0, "composition")
    x_0 = torch.randn(count, 1, generator=draws, dtype=torch.float64)
    x = x_0
    for t in range(1, 501):
        noise = torch.randn(x.shape, generator=draws, dtype=torch.float64)
        x = forward_step(SD, x, batch_time(t, x), noise)
    bar = SD.alpha_bar[500]
    total = (x - bar.sqrt() * x_0) / (1 - bar).sqrt()
    return {
        "total_variance": total.var().item(),
        "correlation": torch.corrcoef(torch.cat([total, noise], 1).T)[0, 1].item(),
        "correlation_exact": (SD.beta[500] / (1 - bar)).sqrt().item(),
        "count": count,
    }


def darkening() -> dict[str, float]:
    """Sample bright data, N(2, ½²), from noise of mean 0: what comes out is too dark."""
    data = Gaussian(*torch.tensor([2.0, 0.5], dtype=torch.float64))
    middle = torch.zeros(1, 1, dtype=torch.float64)  # the mean of N(0, 1); the flow is affine
    top, bottom = torch.tensor([SD.T]), torch.tensor([0])
    return {
        "bright_mean": flow(data, SD, middle, top, bottom).item(),
        "top_mean": marginal(data, SD, top, middle)[0].item(),
    }


def first_step() -> dict[str, float]:
    """Return ᾱ_1 as it is and in bfloat16, and the size of the first step's noise."""
    bar = SD.alpha_bar[1]
    return {
        "bar_1": bar.item(),
        "bar_1_half": bar.to(torch.bfloat16).item(),
        "noise_1": (1 - bar).sqrt().item(),
        "noise_ratio_2": ((1 - SD.alpha_bar[1]) / (1 - SD.alpha_bar[2])).sqrt().item(),
    }


def exact_loss(t: int, count: int, std: float = 1.0) -> float:
    """Return the loss of the exact network at one time, over `count` draws."""
    data = Gaussian(torch.tensor(0.0), torch.tensor(std))
    draws = generator(0, "loss", t)
    x_0, eps = torch.randn(2, count, 1, generator=draws, dtype=torch.float64)
    at = batch_time(t, x_0)
    return simple_loss(eps, exact_eps(data, SD)(q_sample(SD, std * x_0, at, eps), at)).item()


def least_loss(count: int) -> dict[str, float]:
    """Return the exact network's loss at three times, and what it must be: ᾱ_t at s = 1."""
    times = (50, 400, 900)
    drawn = {f"loss_{t}": exact_loss(t, count) for t in times}
    return drawn | {f"loss_{t}_exact": SD.alpha_bar[t].item() for t in times}


def least(std: float) -> list[float]:
    """Return Var[ε | x_t] at every t, for data of a standard deviation."""
    bar = SD.alpha_bar[1:]
    return (bar * std**2 / (bar * std**2 + 1 - bar)).tolist()


def loss_plot() -> str:
    """Return the least loss against t for data of three widths."""
    t = list(range(1, 1001))
    curves = {f"s = {std:g}": (t, least(std)) for std in (1.0, 0.3, 0.1)}
    return lines_plot(curves, "t", "least loss, Var[ε | x_t]")


def clusters() -> dict[str, Image.Image]:
    """Return the density of x_t at some times, for data of two clusters."""
    return {f"t = {t}, √ᾱ_t = {SD.alpha_bar[t].sqrt():.2f}": density(SD, t) for t in TIMES}


def density(schedule: Schedule, t: int) -> Image.Image:
    """Draw the density of x_t at one time, and dotted under it N(0, 1)."""
    canvas = Canvas(420, 220)
    axes = Axes(canvas=canvas, box=(44, 34, 406, 178), x=(-4, 4), y=(0, 0.8))
    axes.frame((-4, -2, 0, 2, 4), (0, 0.4, 0.8), f"density of x_t, t = {t}", "x_t")
    x = torch.linspace(-4, 4, 321, dtype=torch.float64)[:, None]
    y = torch.zeros_like(x)
    for weight, mean, std in CLUSTERS:
        part = Gaussian(torch.tensor(mean), torch.tensor(std))
        y += weight * normal(x, *marginal(part, schedule, batch_time(t, x), x))
    axes.curve(pairs(x, normal(x, torch.zeros(1), torch.ones(1))), SOFT, 1)
    axes.curve(pairs(x, y), rgb(COLOURS[0]), 2)
    return canvas.picture()


def normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return the density of N(mean, variance) at x."""
    return torch.distributions.Normal(mean, variance.sqrt()).log_prob(x).exp()


def pairs(x: Tensor, y: Tensor) -> list[tuple[float, float]]:
    """Return two columns as points."""
    return list(zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))


def rgb(colour: str) -> tuple[int, int, int]:
    """Return #rrggbb as three numbers."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def face() -> dict[str, Image.Image]:
    """Return a held-out face with more and more noise, always the same."""
    x_0 = captioned().at([FACE]).images(64)
    eps = torch.randn(x_0.shape, generator=generator(1, "face"))
    noisy = {t: q_sample(SD, x_0, batch_time(t, x_0), eps)[0] for t in NOISED}
    size = (192, 192)
    return {
        f"t = {t}": to_picture(x).resize(size, Image.Resampling.NEAREST) for t, x in noisy.items()
    }
