"""Chapter 5: v(t) of Gaussian data, of the embedded model and of its data; what is off; walks."""

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.interpolate import sweep
from latentgeo.core.precision import norms
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, linear, scaled_linear
from latentgeo.core.smooth import (
    batch_sums,
    mean_at,
    regularizer,
    running_mean,
    unit_direction,
    update,
)
from latentgeo.core.variation_routes import variation
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.smoothness import istd
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import generate, sampling_of
from latentgeo.infer.walks.walk import adjacent_distances
from latentgeo.models.bundles.text_to_image import TextToImage

SCHEDULE = scaled_linear()
TIMES = tuple(range(1, 1000, 66))  # 397 and 991 among them
EARLY, LATE = 661, 991  # between them v climbs
FACES, FEW = 16, 64  # held-out faces; principal directions of the data
MODELS = {"base": "avatars", "smooth": "avatars-smooth"}


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 5; `quick` has fewer faces, times and walks."""
    base = load_model("avatars", "cpu")
    held, train = captioned().chosen(2 if quick else FACES, 0), captioned(split="train")
    with torch.no_grad():
        x_0, context = base.encode(held.images(64)), base.encode_text(held.captions)
        known = train.first(16 if quick else 1024).images(64).split(64)
        data = torch.cat([base.encode(part).flatten(1) for part in known]).double()
    basis, variances = principal(data)
    times = (397, LATE) if quick else TIMES
    found, shares = of_network(base, x_0, context, times)
    curves = {
        "white": {t: white(t) for t in times},
        "coloured": {t: coloured(variances, len(data), t) for t in times},
        "model": found,
    }
    labels = "white Gaussian data", "Gaussian, as the faces", "embedded model"
    lines = [(list(curve), list(curve.values())) for curve in curves.values()]
    film, walks = of_walks(*((1, 2) if quick else (6, 10)))
    numbers = {f"{key}_{t}": curve[t] for key, curve in curves.items() for t in (397, LATE)}
    numbers |= {**of_means(), **shares, **walks, "few": float(FEW)}
    numbers["coloured_highest"] = max(curves["coloured"].values())
    for t in (EARLY, LATE):
        numbers |= of_blocks(base, data, basis, variances, x_0, context, t)
    return Computed(
        numbers=numbers,
        pictures={"v": lines_plot(dict(zip(labels, lines, strict=True)), "t", "v(t)")},
        frames={"walk": film},
    )


def white(t: int) -> float:
    """Return v of unit Gaussian data and the exact denoiser, of any sample and direction."""
    one = torch.tensor(1.0, dtype=torch.float64)
    x_0, eps = torch.randn(2, 1, 7, generator=generator(5, "white"), dtype=torch.float64)
    predict = exact_eps(Gaussian(0 * one, one), SCHEDULE)
    return variation(predict, SCHEDULE, x_0, eps, batch_time(t, x_0), unit_direction(x_0)).item()


def principal(data: Tensor) -> tuple[Tensor, Tensor]:
    """Return the principal directions (n, n) of data (N, n), and the variances (n,) along them."""
    _, values, basis = torch.linalg.svd(data - data.mean(0), full_matrices=True)
    variances = torch.zeros(data.shape[1], dtype=data.dtype)
    variances[: len(values)] = values.square() / (len(data) - 1)
    return basis, variances


def stretched(variances: Tensor, t: int) -> Tensor:
    """Return v along each principal direction of Gaussian data with these variances."""
    bar = SCHEDULE.alpha_bar[t]
    return bar.sqrt() * (1 - bar) * variances / (bar * variances + 1 - bar)


def coloured(variances: Tensor, count: int, t: int) -> float:
    """Return √E v² of Gaussian data with the variances that `count` samples have.

    A sum of squares Σλ² of N samples is too large by (Σλ)²/N, which is taken off.
    """
    each = stretched(variances, t)
    return ((each.square().sum() - each.sum().square() / count) / len(each)).sqrt().item()


def finite(data: Tensor, x_t: Tensor, d: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """Return v (B,) of the exact denoiser of data that are these points (N, n) and no others.

    v = √ᾱ ‖Cov[x_0|x_t] d‖, with the points weighted by how near √ᾱ times each is to x_t (B, n);
    beside it how many points have a say, 1/Σw² (B,).
    """
    bar = SCHEDULE.alpha_bar[t]
    weights = torch.softmax(-torch.cdist(x_t, bar.sqrt() * data).square() / (2 * (1 - bar)), 1)
    rows = [w.sqrt()[:, None] * (data - w @ data) for w in weights]  # rowᵀ row is the covariance
    pulled = torch.stack([one.T @ (one @ along) for one, along in zip(rows, d, strict=True)])
    return bar.sqrt() * norms(pulled), 1 / weights.square().sum(1)


def noise(x_0: Tensor) -> Tensor:
    """Return the noise that goes with the faces."""
    return torch.randn(x_0.shape, generator=generator(5, "noise"))


def of_network(
    bundle: TextToImage, x_0: Tensor, context: Tensor, times: tuple[int, ...]
) -> tuple[dict[int, float], dict[str, float]]:
    """Return the mean v of the faces by t, and what directions, places and times have of Var v."""
    twice, raw = x_0.repeat(2, 1, 1, 1), bundle.raw(context.repeat(2, 1, 1))
    eps, draw = noise(x_0).repeat(2, 1, 1, 1), generator(5, "directions")
    found = []
    for t in times:
        d = unit_direction(twice, draw)
        found.append(variation(raw, SCHEDULE, twice, eps, batch_time(t, twice), d))
    v = torch.stack(found).unflatten(1, (2, -1)).double()  # (times, 2 directions, faces)
    parts = {
        "direction": v.var(1).mean(),
        "place": v.mean(1).var(1).mean() - v.var(1).mean() / 2,
        "time": v.mean((1, 2)).var(),
    }
    whole = sum(parts.values())
    shares = {f"share_{name}": (100 * part / whole).item() for name, part in parts.items()}
    errors = {f"model_{t}_error": (one.mean(0).std() / len(x_0) ** 0.5).item()
              for t, one in zip(times, v, strict=True) if t in (397, LATE)}  # fmt: skip
    return dict(zip(times, v.mean((1, 2)).tolist(), strict=True)), {**shares, **errors}


def of_blocks(
    bundle: TextToImage,
    data: Tensor,
    basis: Tensor,
    variances: Tensor,
    x_0: Tensor,
    context: Tensor,
    t: int,
) -> dict[str, float]:
    """Return √E v² along the few principal directions of the data, and along the rest.

    Each is that of the model, of Gaussian data with the same variances, and of the exact denoiser
    of `data` alone. `slope` is how far the slope of the predicted noise is off in the rest, for v
    to be what it is: √ᾱ v/(1-ᾱ)^(3/2). `variance` is the percentage that the few have of held-out
    faces' variance.
    """
    bar, at, eps, draw = SCHEDULE.alpha_bar[t], batch_time(t, x_0), noise(x_0), generator(5, "in")
    x_t = q_sample(SCHEDULE, x_0, at, eps).flatten(1).double()
    held_out = ((x_0.flatten(1).double() - data.mean(0)) @ basis.T).square().sum(0)
    found = {"few_variance": 100 * (held_out[:FEW].sum() / held_out.sum()).item()}
    for name, part in (("few", slice(0, FEW)), ("rest", slice(FEW, None))):
        rows = basis[part]
        d = torch.randn(len(x_0), len(rows), generator=draw, dtype=torch.float64) @ rows
        d = d / norms(d)[:, None]
        along = d.reshape(x_0.shape).float()
        of_points, having_a_say = finite(data, x_t, d, t)
        kinds = {
            "model": variation(bundle.raw(context), SCHEDULE, x_0, eps, at, along),
            "gaussian": stretched(variances, t)[part],
            "points": of_points,
        }
        for kind, v in kinds.items():
            found[f"{name}_{kind}_{t}"] = v.double().square().mean().sqrt().item()
    found[f"say_{t}"] = having_a_say.median().item()
    factor = ((1 - bar) ** 1.5 / bar.sqrt()).item()
    slope = found[f"rest_model_{t}"] / factor
    return {**found, f"factor_{t}": factor, f"slope_{t}": slope}


def of_means() -> dict[str, float]:
    """Return what one mean and ten make of the exact denoiser, and other numbers of the text."""
    t = torch.arange(1, 1001)
    bar = SCHEDULE.alpha_bar[1:]
    v = bar.sqrt() * (1 - bar)
    found = {"gaussian_max": v.max().item(), "gaussian_end": white(1000)}
    for name, ranges in (("one", 1), ("ten", 10)):
        state = running_mean(ranges)
        state = update(state, batch_sums(state, SCHEDULE, v, t))
        found[f"{name}_mean"] = regularizer(v, mean_at(state, SCHEDULE, t)).item()
    state, constant = running_mean(), torch.ones(1, dtype=torch.float64)
    for _ in range(100):
        state = update(state, batch_sums(state, SCHEDULE, constant, t[:1]))
    ends = {"scaled": SCHEDULE.alpha_bar[-1], "linear": linear().alpha_bar[-1]}
    factors = {f"factor_{name}": ((1 - bar) / bar).sqrt().item() for name, bar in ends.items()}
    return {**found, **factors, "raw_100": state.raw.item()}


def of_walks(walks: int, steps: int) -> tuple[dict[str, Image.Image], dict[str, float]]:
    """Return a film of both models, and the distances of neighbours over several walks."""
    held = captioned().chosen(walks, 1)
    numbers, rows = {"walks": float(walks)}, []
    for name, spec in MODELS.items():
        bundle = load_model(spec, "cpu")
        a, b = torch.randn(2, walks, *bundle.latent_shape, generator=generator(5, "films"))
        x = sweep(a, b, 11).transpose(0, 1).flatten(0, 1)  # walk by walk
        prompts = [caption for caption in held.captions for _ in range(11)]
        found = torch.cat(list(generate(bundle, x, prompts, sampling_of(bundle, steps, None))))
        distances = adjacent_distances(found.unflatten(0, (walks, 11)))
        numbers[f"istd_{name}"] = istd(distances).item()
        numbers[f"distance_{name}"] = distances.mean().item()
        numbers[f"ratio_{name}"] = numbers[f"istd_{name}"] / numbers[f"distance_{name}"]
        rows.append([to_picture(image) for image in found[:11]])
    return {
        f"η = {i / 10:g}, above base, below smooth": grid([[row[i]] for row in rows])
        for i in range(11)
    }, numbers
