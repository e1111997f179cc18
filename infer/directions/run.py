"""`latentgeo directions`: a noise's local basis, and the images along and between its directions.

Hahm et al. (arXiv 2407.11451), Sec. 4.3 and App. C. Files: `directions.png`, a row per direction
and a column per γ (the paper's Fig. 7); with --pair `combination.png`, a square of two directions
(Fig. V); with --shoot `shooting.png`, the rows by geodesic shooting; `directions.json`.

Notation  x (1, C, h, w) the noisy image at time t that is moved; r = ‖x‖; moves Δ_i = r·angle·v_i
"""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.local_basis import Encode, arc, combined, line, local_basis
from latentgeo.core.run.cli import write_run
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time
from latentgeo.core.shooting import shoot
from latentgeo.core.singular import Singular
from latentgeo.infer.directions.settings import Directions
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.sampling.pipeline import image_noise
from latentgeo.infer.sampling.unprompted import (
    ImageSampling,
    denoise_images,
    generate_images,
    image_shape,
    visited_times,
)
from latentgeo.infer.sampling.unprompted_model import (
    labels_of,
    load_unprompted,
    record,
    sampling_of,
)
from latentgeo.models.bundles.image_model import ImageModel

MOVES = {"arc": arc, "line": line}


@dataclass(frozen=True, eq=False)
class Start:
    """What is moved: a noisy image, and the times from its own down to 0."""

    x: Tensor  # (1, C, h, w), float32
    visited: tuple[int, ...]


def draw_directions(cmd: Directions) -> list[Path]:
    """Find the directions, draw along them, and return the files written."""
    model, label = load_unprompted(cmd)
    sampling = sampling_of(model, cmd)
    start = noisy_image(model, cmd, sampling)
    began = time.perf_counter()
    basis = basis_at(model, cmd, start.x, start.visited[0], cmd.count)
    seconds = {"basis": time.perf_counter() - began}
    write_run(cmd, cmd.out)
    about = {"seed": cmd.seed, "t": start.visited[0], "r": start.x.norm().item()}
    about |= {**record(model, cmd, sampling), "label": label}
    rows = {"directions": traversed(cmd, start.x, basis)}
    if cmd.shoot:
        began = time.perf_counter()
        rows["shooting"] = shot(model, cmd, start, basis)
        seconds["shooting"] = time.perf_counter() - began
    found = {name: reach(model, label, start, basis, points) for name, points in rows.items()}
    if cmd.pair:
        rows["combination"] = square(cmd, start.x, basis)
    files = []
    for name, points in rows.items():
        drawn = pictures_of(model, cmd, sampling, start, points.flatten(0, 1), name)
        heads = axes(cmd) if name == "combination" else labels(cmd, basis)
        picture = sheet(drawn, *heads)
        files.append(save_png(cmd.out / f"{name}.png", picture, about))
    facts = {"values": basis.values[0].tolist(), "residuals": basis.residual[0].tolist()}
    about |= {"gammas": list(cmd.gammas), "angle": cmd.angle, "move": cmd.move}
    content = {**about, **facts, **found, "iterations": int(basis.iterations), "seconds": seconds}
    return [*files, atomic_write(cmd.out / "directions.json", json.dumps(content, indent=2) + "\n")]


def noisy_image(model: ImageModel, cmd: Directions, sampling: ImageSampling) -> Start:
    """Return the seed's image at the visited time nearest to --at, x_T itself at 1."""
    visited = visited_times(model, sampling)
    wanted = cmd.at * model.schedule.T
    first = min(range(len(visited) - 1), key=lambda i: abs(visited[i] - wanted))
    x = image_noise(cmd.seed, image_shape(model, cmd.size)).to(model.device)
    if first:
        given = labels_of(cmd.label, x)
        x = denoise_images(model, x, sampling, [cmd.seed], given, visited[: first + 1])
    return Start(x, visited[first:])


def encoder(model: ImageModel, label: int | None) -> Encode:
    """Return h (B, ...), float32, as a function of x (B, C, h, w) and t (B,)."""

    def encode(x: Tensor, t: Tensor) -> Tensor:
        return model.encode_h(x.to(model.dtype), t, labels_of(label, x))[0].to(x.dtype)

    return encode


def basis_at(model: ImageModel, cmd: Directions, x: Tensor, t: int, k: int) -> Singular:
    """Return the local basis of k directions of each x (B, C, h, w) at time t, one x at a time.

    Iso Sec. 4.3   v_i and σ_i of the map from the sphere to h-space
    """
    return local_basis(
        encoder(model, cmd.label),
        x,
        batch_time(t, x),
        k,
        tolerance=cmd.tolerance,
        generator=generator(cmd.seed, "basis", device=x.device),
        samples=1,
    )


def unit_length(cmd: Directions, x: Tensor) -> float:
    """Return ‖Δ‖ of γ = 1, the arc of --angle degrees on the sphere of x (1, ...)."""
    return math.radians(cmd.angle) * x.norm().item()


def traversed(cmd: Directions, x: Tensor, basis: Singular) -> Tensor:
    """Return x + γ Δ_i on the sphere (k, G, C, h, w), for k directions and G values of γ.

    Iso Sec. 4.3   γ ∈ {-2, -1, 0, 1, 2} (Fig. 7)
    """
    gammas = unit_length(cmd, x) * torch.tensor(cmd.gammas, device=x.device, dtype=x.dtype)
    w = gammas.reshape(1, -1, 1, 1, 1) * basis.right[0].unsqueeze(1)  # (k, G, C, h, w)
    moved = MOVES[cmd.move](x.expand(w.shape[0] * w.shape[1], *x.shape[1:]), w.flatten(0, 1))
    return moved.unflatten(0, w.shape[:2])


def square(cmd: Directions, x: Tensor, basis: Singular) -> Tensor:
    """Return x + γ_a Δ_a + γ_b Δ_b (G, G, C, h, w), a down and b across.

    Iso Sec. C   directions combined by their sum (Fig. V)
    """
    gammas = unit_length(cmd, x) * torch.tensor(cmd.gammas, device=x.device, dtype=x.dtype)
    lengths = torch.cartesian_prod(gammas, gammas)  # (G², 2)
    two = basis.right[:, [one - 1 for one in cmd.pair]].expand(len(lengths), *[-1] * 4)
    moved = MOVES[cmd.move](x.expand(len(lengths), *x.shape[1:]), combined(two, lengths))
    return moved.unflatten(0, (len(gammas), len(gammas)))


def shot(model: ImageModel, cmd: Directions, start: Start, basis: Singular) -> Tensor:
    """Return where geodesic shooting along each direction is at each γ (k, G, C, h, w).

    Iso Sec. 4.3   the rival whose every step costs a local basis
    """
    k, furthest = cmd.count, max(map(abs, cmd.gammas))
    steps = round(cmd.shoot * furthest)
    x = start.x.expand(2 * k, *start.x.shape[1:])
    if not steps:
        return x[:k].unsqueeze(1).expand(-1, len(cmd.gammas), *x.shape[1:])
    ahead = torch.cat([basis.left[0], -basis.left[0]]), torch.cat([basis.right[0], -basis.right[0]])
    with progress(total=steps - 1, label="shooting", unit="step") as bar:

        def find(x: Tensor) -> Singular:
            bar.update()
            return basis_at(model, cmd, x, start.visited[0], cmd.shoot_rank)

        path = shoot(find, x, ahead, furthest * unit_length(cmd, start.x), steps)
    every = torch.cat([x[None], path])  # (steps + 1, 2 k, C, h, w)
    places = [(round(cmd.shoot * abs(gamma)), gamma < 0) for gamma in cmd.gammas]
    return torch.stack([every[i, k * back : k * back + k] for i, back in places], dim=1)


@torch.no_grad()
def reach(
    model: ImageModel, label: int | None, start: Start, basis: Singular, points: Tensor
) -> dict[str, list[list[float | None]]]:
    """Return how far h of points (k, G, C, h, w) is from x's, and the cosine of that with u_i.

    Both are k lists, one per direction, of G numbers: `moved` in the units of h, `cosine` in -1..1.
    A cosine of ±1 is a straight way in h-space along u_i; where nothing has moved there is none.
    """
    encode, t = encoder(model, label), start.visited[0]
    h = torch.stack([encode(row, batch_time(t, row)) for row in points])
    away = (h - encode(start.x, batch_time(t, start.x))).flatten(2)  # (k, G, m)
    along = (away * basis.left[0].flatten(1).unsqueeze(1)).sum(2)
    length = away.norm(dim=2)
    pairs = torch.stack([along, length], 2).tolist()
    small = 1e-4 * length.max().item()
    return {
        "moved": length.tolist(),
        "cosine": [[a / n if n > small else None for a, n in row] for row in pairs],
    }


def pictures_of(
    model: ImageModel,
    cmd: Directions,
    sampling: ImageSampling,
    start: Start,
    x: Tensor,
    what: str,
) -> list[Image.Image]:
    """Return the pictures that noisy images x (N, C, h, w) of the start's time denoise to."""
    found: list[Image.Image] = []
    seeds, given = [cmd.seed] * len(x), labels_of(cmd.label, x)
    with progress(total=len(x), label=what, unit="image") as bar:
        for images in generate_images(model, x, sampling, seeds, given, start.visited):
            found += map(to_picture, images)
            bar.update(len(images))
    return found


def labels(cmd: Directions, basis: Singular) -> tuple[list[str], list[str]]:
    """Return what stands beside the row of a direction, and above the column of a γ."""
    values = basis.values[0].tolist()
    rows = [f"{i}: {value:.3g}" for i, value in enumerate(values, 1)]
    return rows, [f"{gamma:+g}" if gamma else "0" for gamma in cmd.gammas]


def axes(cmd: Directions) -> tuple[list[str], list[str]]:
    """Return what stands beside and above the square of two directions."""
    down, across = ([f"{one}: {gamma:+g}" for gamma in cmd.gammas] for one in cmd.pair)
    return down, across


def sheet(pictures: list[Image.Image], rows: list[str], columns: list[str]) -> Image.Image:
    """Return the pictures as rows, with their labels."""
    width = len(columns)
    tiles = [pictures[i : i + width] for i in range(0, len(pictures), width)]
    return grid(tiles, row_labels=rows, column_labels=columns)
