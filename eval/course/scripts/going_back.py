"""Chapter 2: steps down and up again, how wrong they are, and what guidance does."""

from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import schedule as schedules
from latentgeo.core.ddim import invert, invert_official, sample, step
from latentgeo.core.ddpm import posterior
from latentgeo.core.gaussian import Gaussian, exact_eps, flow, marginal
from latentgeo.core.guidance import guide
from latentgeo.core.parameterization import Predict, x_0_from_eps
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, times
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.page.canvas import Axes, Canvas, Colour
from latentgeo.infer.pictures.images import to_picture
from latentgeo.models.bundles.text_to_image import TextToImage, load_bundle

SD = schedules.scaled_linear()
DATA = Gaussian(*torch.tensor([0.4, 0.5], dtype=torch.float64))
CLUSTERS = ((0.3, -2.0, 0.25), (0.7, 1.0, 0.45))  # weight, mean, standard deviation
STEPS = (5, 10, 20, 50, 100, 200, 500)
SCALES = (0.0, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0)
PROMPT = "a person with red hair and glasses"
SEED = 3


def compute(*, quick: bool) -> Computed:
    """Return the chapter's numbers and pictures."""
    numbers = steps_numbers() | prints() | guidance_numbers()
    model = load_bundle("avatars")
    few = 4 if quick else 25
    return Computed(
        numbers=numbers | round_trip_numbers(),
        pictures={
            "paths": paths(),
            "steps": steps_plot(STEPS[:4] if quick else STEPS),
            "round_trip": round_trip_plot(),
            "guidance": guidance_plot(20 if quick else 100),
        },
        frames={"face": denoised(model, few), "scales": guided_faces(model, few)},
    )


def mixture(x: Tensor, t: Tensor) -> Tensor:
    """Return the exact ε of data in clusters: each one's own, weighed by how likely it is at x."""
    found, weights = [], []
    for weight, *two in CLUSTERS:
        part = Gaussian(*torch.tensor(two, dtype=torch.float64))
        mean, variance = marginal(part, SD, t, x)
        likely = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x).exp()
        found.append(exact_eps(part, SD)(x, t))
        weights.append(weight * likely)
    share = torch.stack(weights)
    return (share / share.sum(0) * torch.stack(found)).sum(0)


def paths() -> Image.Image:
    """Draw where noises go, by DDIM on the left and with all of the noise put back on the right."""
    canvas = Canvas(760, 300)
    for left, eta, title in ((40, 0.0, "DDIM"), (425, 1.0, "DDPM: all the noise put back")):
        axes = Axes(canvas=canvas, box=(left, 36, left + 320, 250), x=(1000, 0), y=(-4, 4))
        axes.frame((1000, 750, 500, 250, 0), (-4, -2, 0, 2, 4), title, "t")
        x = torch.linspace(-2.2, 2.2, 15, dtype=torch.float64)[:, None]
        seen = {SD.T: x}
        visited = times(SD, 200, "trailing", final="zero")
        end = sample(mixture, SD, x, visited, eta, generator(0, "paths"), seen.__setitem__)
        for i in range(len(x)):
            colour: Colour = (217, 98, 43) if end[i] > 0 else (61, 133, 198)
            axes.curve([(t, at[i].item()) for t, at in seen.items()], colour, 1.1)
    return canvas.picture()


def pushed(predict: Predict, visited: tuple[int, ...], eta: float) -> tuple[float, float]:
    """Return mean and standard deviation of what sampling makes of N(0, 1).

    The network is affine in x, so every step is; it is known by what it does to 0, 1 and z.
    """
    mean, variance = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    one, z = torch.tensor([[[0.0], [1.0], [0.0]], [[0.0], [0.0], [1.0]]], dtype=torch.float64)
    for t, t_prev in pairwise(visited):
        x = mean + one
        at, prev = batch_time(t, x), batch_time(t_prev, x)
        mean, moved, noisy = step(SD, x, predict(x, at), at, prev, eta, z)
        variance = (moved - mean) ** 2 * variance + (noisy - mean) ** 2
    return mean.item(), variance.sqrt().item()


def spread_error(steps: int, eta: float) -> float:
    """Return by how much the standard deviation of samples is off, relative to the data's."""
    visited = times(SD, steps, "trailing", final="zero")
    return abs(pushed(exact_eps(DATA, SD), visited, eta)[1] / DATA.std.item() - 1)


def steps_plot(steps: tuple[int, ...]) -> str:
    """Return the error of the samples' spread against the number of steps, DDIM and DDPM."""
    curves = {
        f"η = {eta:g}": (steps, [spread_error(n, eta) for n in steps]) for eta in (0.0, 0.5, 1.0)
    }
    return lines_plot(curves, "steps", "relative error of the spread", x_scale="log", y_scale="log")


def flow_error(steps: int) -> float:
    """Return how far DDIM lands from the exact flow, from x_T = 1.5."""
    x = torch.full((1, 1), 1.5, dtype=torch.float64)
    exact = flow(DATA, SD, x, batch_time(SD.T, x), batch_time(0, x))
    found = sample(exact_eps(DATA, SD), SD, x, times(SD, steps, "trailing", final="zero"))
    return (found - exact).abs().item()


def steps_numbers() -> dict[str, float]:
    """Return errors at some numbers of steps."""
    found = {f"spread_{n}_{eta:g}": 100 * spread_error(n, eta) for n in (20, 50) for eta in (0, 1)}
    halved = flow_error(100) / flow_error(200)
    return found | {"halved": halved, "left_at_1": (1 - SD.alpha_bar[1]).sqrt().item()}


def round_trip(steps: int, refine: int | None) -> float:
    """Return how far data comes back from its noise, relative; `refine` None is the released."""
    x = torch.tensor([[-2.3], [-1.9], [0.2], [0.9], [1.6]], dtype=torch.float64)
    visited = times(SD, steps, "trailing", final="zero")
    if refine is None:
        noise = invert_official(mixture, SD, x, visited)
    else:
        noise = invert(mixture, SD, x, visited, refine)
    return ((sample(mixture, SD, noise, visited) - x).norm() / x.norm()).item()


def round_trip_plot() -> str:
    """Return the error of a round trip against the rounds of refinement."""
    rounds = range(9)
    curves = {f"{n} steps": (rounds, [round_trip(n, r) for r in rounds]) for n in (10, 25, 100)}
    return lines_plot(curves, "rounds", "relative error after a round trip", y_scale="log")


def round_trip_numbers() -> dict[str, float]:
    """Return errors of a round trip in 25 steps."""
    named = {"plain": 0, "once": 1, "four": 4, "official": None}
    return {f"trip_{name}": round_trip(25, refine) for name, refine in named.items()}


def conditional(w: float) -> Predict:
    """Return the guided ε of N(1, ½²) under a condition, and N(0, 1) without."""
    with_, without = (
        exact_eps(Gaussian(*torch.tensor(two, dtype=torch.float64)), SD)
        for two in ((1.0, 0.5), (0.0, 1.0))
    )
    return lambda x, t: guide(with_(x, t), without(x, t), w)


def sharpened(w: float) -> tuple[float, float]:
    """Return mean and standard deviation of the density p(x) (p(x|ξ)/p(x))^w of those two."""
    precision = 1 + 3 * w
    return 4 * w / precision, precision**-0.5


def guidance_numbers() -> dict[str, float]:
    """Return what guided sampling makes, and what the sharpened density has."""
    visited = times(SD, 1000, "trailing", final="zero")
    mean, std = pushed(conditional(3.0), visited, 0.0)
    wanted_mean, wanted_std = sharpened(3.0)
    return {
        "guided_mean": mean,
        "guided_std": std,
        "sharpened_mean": wanted_mean,
        "sharpened_std": wanted_std,
    }


def guidance_plot(steps: int) -> str:
    """Return the spread of guided samples beside that of the sharpened density, against w."""
    scales = [1 + i / 2 for i in range(13)]
    visited = times(SD, steps, "trailing", final="zero")
    curves = {
        "guided sampling": (scales, [pushed(conditional(w), visited, 0.0)[1] for w in scales]),
        "sharpened density": (scales, [sharpened(w)[1] for w in scales]),
    }
    return lines_plot(curves, "w", "standard deviation")


def prints() -> dict[str, float]:
    """Return what errata of print come to in numbers."""
    x = torch.ones(1, 1, dtype=torch.float64)
    ddpm = schedules.linear()
    kept = {
        t: (posterior(ddpm, x, x, torch.tensor([t]))[1] / ddpm.beta[t]).item() for t in (1, 2, 1000)
    }
    alpha, bar = 1 - SD.beta, SD.alpha_bar
    return {
        "kept_1": kept[1],
        "kept_2": kept[2],
        "kept_T": kept[1000],
        "printed_scale": (alpha[1] / alpha[SD.T]).sqrt().item(),
        "right_scale": (bar[1] / bar[SD.T]).sqrt().item(),
    }


@torch.inference_mode()
def denoised(model: TextToImage, steps: int) -> dict[str, Image.Image]:
    """Return what the network takes for the clean face, on the way from noise to one."""
    predict = model.predict(model.encode_text([PROMPT]))
    seen: dict[str, Image.Image] = {}

    def watched(x: Tensor, t: Tensor) -> Tensor:
        eps = predict(x, t)
        seen[f"t = {t.item()}"] = shown(model.decode(x_0_from_eps(model.schedule, x, eps, t)))
        return eps

    sample(watched, model.schedule, noise(model), times(model.schedule, min(steps, 8)))
    return seen


@torch.inference_mode()
def guided_faces(model: TextToImage, steps: int) -> dict[str, Image.Image]:
    """Return one noise's face under guidance of several scales."""
    with_, without = (model.predict(model.encode_text([text])) for text in (PROMPT, ""))
    visited = times(model.schedule, steps)
    found = {}
    for w in SCALES:

        def predict(x: Tensor, t: Tensor, w: float = w) -> Tensor:
            return guide(with_(x, t), without(x, t), w)

        face = model.decode(sample(predict, model.schedule, noise(model), visited))
        found[f"w = {w:g}"] = shown(face)
    return found


def noise(model: TextToImage) -> Tensor:
    """Return the noise that the faces come from."""
    return torch.randn(1, *model.latent_shape, generator=generator(SEED))


def shown(image: Tensor) -> Image.Image:
    """Return a picture of an image, twice as large."""
    picture = to_picture(image[0])
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC)
