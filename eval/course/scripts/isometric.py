"""Chapter 6: the isometry loss and its estimates, the toy, and the embedded model with its twin."""

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.interpolate import sweep
from latentgeo.core.isometry import (
    Traces,
    isometry_loss,
    isometry_loss_error,
    isometry_loss_per_sample,
    traces,
)
from latentgeo.core.local_basis import arc, local_basis
from latentgeo.core.path_metrics import path_lengths, relative_lengths
from latentgeo.core.precision import norms
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.page.plots import curves_plot
from latentgeo.eval.toy.autoencoder import Kind, held_out_points, trained
from latentgeo.eval.toy.distortion import distortion
from latentgeo.eval.toy.pictures import Panel, maps_picture
from latentgeo.eval.toy.settings import ToyIsometry
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_image
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images
from latentgeo.models.bundles.image_model import ImageModel

KINDS: dict[Kind, str] = {
    "reconstruction": "reconstruction",
    "plane": "G = I",
    "sphere": "sphere's G",
}
MODELS = {"base": "avatars-ddpm", "isometric": "avatars-ddpm-isometric"}
TIMES = (550, 650, 750, 850, 950)
SHOWN = 750  # the time of the numbers in the text
DEGREES = (-6, -4, -2, 0, 2, 4, 6)  # along the local basis


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 6; `quick` trains less and has fewer faces."""
    toy_numbers, toy = of_toy(steps=20 if quick else 1000)
    models = {label: load_image(name, "cpu") for label, name in MODELS.items()}
    counts, plot = of_models(models, *((2, TIMES[2:3]) if quick else (8, TIMES)))
    return Computed(
        numbers={**of_estimates(2000 if quick else 50_000), **of_paths(), **toy_numbers, **counts},
        pictures={"toy": toy, "directions": plot},
        frames={"basis": of_basis(models, steps=2 if quick else 20)},
    )


def of_estimates(count: int) -> dict[str, float]:
    """Return by how many percent both forms of the loss are off, at stretches σ² of 1 … 8."""
    eigenvalues = torch.arange(1.0, 9.0, dtype=torch.float64)
    x = torch.eye(9, dtype=torch.float64)[8].expand(count, -1)  # its tangents are the first eight

    def encode(x: Tensor) -> Tensor:
        return x[:, :8] * eigenvalues.sqrt()

    first, second, third = (eigenvalues.pow(power).sum() for power in (1, 2, 3))
    exact = second / first**2
    found = {}
    for probes in (1, 16):
        v = torch.randn(probes, *x.shape, generator=generator(6, probes), dtype=x.dtype)
        some = traces(encode, x, v, graph=False)
        found[f"bias_{probes}"] = 100 * (isometry_loss_per_sample(some) / exact - 1).item()
        found[f"bias_means_{probes}"] = 100 * (isometry_loss(some) / exact - 1).item()
        expected = (6 * second / first**2 - 4 * third / (second * first)) / probes
        found[f"bias_{probes}_predicted"] = 100 * expected.item()
    return found


def of_paths() -> dict[str, float]:
    """Return RTL of an isometry at 90°, and how PPL changes with ε on a curved map."""
    a, b = torch.eye(2, dtype=torch.float64)[:, None]
    x, y = torch.randn(2, 64, 16, generator=generator(6, "pairs"), dtype=torch.float64)
    inner, outer = torch.randn(2, 16, 16, generator=generator(6, "map"), dtype=torch.float64)
    w = torch.full((64,), 0.4, dtype=torch.float64)

    def bent(x: Tensor) -> Tensor:
        return torch.tanh(x @ inner / 4) @ outer

    def square(u: Tensor, v: Tensor) -> Tensor:
        return (u - v).square().sum(1)

    found = {"rtl_arc": relative_lengths(sweep(a, b, 11)).item()}
    for scale in ("squared", "linear"):
        far, near = (path_lengths(bent, square, x, y, w, e, scale).mean() for e in (1e-2, 1e-3))
        found[f"ppl_{scale}"] = (near / far).item()
    return found


def of_toy(steps: int) -> tuple[dict[str, float], Image.Image]:
    """Return how even three maps of the sphere to the plane are, and the maps."""
    cmd = ToyIsometry(out=Path(), steps=steps)
    x = held_out_points(cmd, 2000)
    numbers, panels = {}, [Panel("the sphere", None, "below: circles of one size")]
    for kind, title in KINDS.items():
        encode = trained(cmd, kind, 0).encode
        found = distortion(encode, x)
        numbers[f"toy_{kind}_condition"] = found.condition
        numbers[f"toy_{kind}_spread"] = found.spread
        numbers[f"toy_{kind}_loss"] = 2 * found.loss
        note = f"condition {found.condition:.2f}, spread {found.spread:.2f}"
        panels.append(Panel(title, encode, note))
    maps = maps_picture(panels, cmd.gap)
    return numbers, maps.resize((3 * maps.width // 4, 3 * maps.height // 4))


def encoder(model: ImageModel, t: int) -> Callable[[Tensor], Tensor]:
    """Return the map from x to h at one time."""
    return lambda x: model.encode_h(x, batch_time(t, x))[0]


def of_models(
    models: dict[str, ImageModel], faces: int, times: tuple[int, ...]
) -> tuple[dict[str, float], str]:
    """Return 1/L_iso and RTL of both models at one time, and 1/L_iso over times as SVG."""
    x_0 = captioned().chosen(faces, 0).images(64)
    eps, v = torch.randn(2, *x_0.shape, generator=generator(6, "faces"))
    a, b = torch.randn(2, faces, *x_0.shape[1:], generator=generator(6, "walks"))
    numbers: dict[str, float] = {}
    curves = {}
    for label, model in models.items():
        rows = []
        for t in times:
            x_t = q_sample(model.schedule, x_0, batch_time(t, x_0), eps)
            found = traces(encoder(model, t), x_t, v[None], graph=False)
            count, error = directions(found)
            rows.append((float(t), count, count - 2 * error, count + 2 * error))
            if t == SHOWN:
                numbers |= {f"count_{label}": count, f"count_{label}_error": error}
        curves[label] = rows
        with torch.no_grad():
            h = torch.stack([encoder(model, SHOWN)(x) for x in sweep(a, b, 11)])
        numbers[f"rtl_{label}"] = relative_lengths(h).mean().item()
    return numbers, curves_plot(curves, "t", "1 / L_iso")


def directions(found: Traces) -> tuple[float, float]:
    """Return 1/L_iso and its standard error, to first order."""
    loss, error = isometry_loss(found), isometry_loss_error(found)
    return (1 / loss).item(), (error / loss.square()).item()


def of_basis(models: dict[str, ImageModel], steps: int) -> dict[str, Image.Image]:
    """Return faces along the first direction of either model's own local basis at T."""
    x = torch.randn(1, *models["base"].shape, generator=generator(6, "basis"))
    rows = []
    for model in models.values():

        def encode(y: Tensor, t: Tensor, model: ImageModel = model) -> Tensor:
            return model.encode_h(y, t)[0]

        t, draw = batch_time(model.schedule.T, x), generator(6, "subspace")
        found = local_basis(encode, x, t, 1, tolerance=0.05, generator=draw)
        moves = [arc(x, torch.pi / 180 * d * norms(x) * found.right[:, 0]) for d in DEGREES]
        sampling = ImageSampling(steps=steps)
        images = torch.cat(list(generate_images(model, torch.cat(moves), sampling, range(7))))
        rows.append([to_picture(image) for image in images])
    return {
        f"{d}°, above base, below isometric": grid([[row[i]] for row in rows])
        for i, d in enumerate(DEGREES)
    }
