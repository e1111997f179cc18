"""Chapter 7: what a shift of ε does in a step and in a sampling, and edits of faces."""

from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import asyrp, ddim
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.schedule import Schedule, batch_time, linear
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.semantic.intervals import distances
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_image
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import images_of
from latentgeo.infer.semantic.editing import Attribute, Editing, edit, editing_times
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.delta_file import read_direction, read_purpose
from latentgeo.models.formats.load import find_direction, find_model
from latentgeo.models.perceptual import load_lpips

MODEL, DIRECTION = "avatars-ddpm", "glasses"
UNIT = Gaussian(torch.tensor(0.0).double(), torch.tensor(1.0).double())
LENGTHS = (10, 20, 40, 80, 160, 320, 1000)  # steps of a sampling
FACES = (6, 2)  # seeds of a face without glasses and of one with them
SCALES = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0)


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 7; `quick` has fewer steps and one scale."""
    schedule, model = linear(), load_image(MODEL, "cpu")
    steps, scales = (2, (0.0, 1.0)) if quick else (40, SCALES)
    step_numbers, ratio = of_a_step(schedule)
    arrival_numbers, arrives = of_a_sampling(schedule, (40, 1000) if quick else LENGTHS)
    face_numbers, both = of_both_terms(model, steps)
    interval_numbers, apart = of_intervals(model, faces=1 if quick else 4, steps=steps)
    return Computed(
        numbers={
            **step_numbers,
            **arrival_numbers,
            **of_inversion(schedule, 40),
            **face_numbers,
            **interval_numbers,
        },
        pictures={"ratio": ratio, "arrives": arrives, "both": both, "distances": apart},
        frames={"glasses": of_scales(model, steps, scales)},
    )


def left_over(schedule: Schedule, visited: tuple[int, ...]) -> Tensor:
    """Return r_t of each step: what a shift in both terms does, beside one in P_t alone."""
    t, t_prev = torch.tensor(visited[:-1]), torch.tensor(visited[1:])
    like = torch.zeros(len(t), 1).double()
    symmetric = asyrp.symmetric_shift(schedule, like, t, t_prev)
    return (symmetric / asyrp.shift(schedule, like, t, t_prev).in_P)[:, 0]


def of_a_step(schedule: Schedule) -> tuple[dict[str, float], str]:
    """Return r_t at T for two strides, the geometric means of 1 - r_t, and r_t against t."""
    T = schedule.T
    numbers = {f"ratio_T_{n}": left_over(schedule, (T, T - n)).item() for n in (1, 25)}
    curves = {}
    for steps in (40, T):
        visited = editing_times(schedule, steps)
        r = left_over(schedule, visited)
        numbers[f"mean_ratio_{steps}"] = 1 - (1 - r[:-1]).log().mean().exp().item()
        curves[f"{steps} steps"] = visited[:-1], r.tolist()
    return numbers, lines_plot(curves, "t", "r, left over of the shift", y_scale="log")


def arriving(schedule: Schedule, steps: int, both: bool) -> float:
    """Return how far a shift of ε by -1 moves x_0, of unit Gaussian data and its exact network."""
    predict, x = exact_eps(UNIT, schedule), torch.zeros(1, 1).double()
    for t, t_prev in pairwise(editing_times(schedule, steps)):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        eps = predict(x, now)
        shifted = eps - 1
        x = asyrp.asymmetric_step(schedule, x, shifted, shifted if both else eps, now, prev)
    return x.item()


def of_a_sampling(schedule: Schedule, lengths: tuple[int, ...]) -> tuple[dict[str, float], str]:
    """Return how far a shift arrives through both terms and through one, by the number of steps."""
    ways = {"both terms": True, "P_t alone": False}
    curves = {
        name: (lengths, [arriving(schedule, steps, both) for steps in lengths])
        for name, both in ways.items()
    }
    numbers = {"sym_limit": (1 / schedule.alpha_bar[-1] - 1).sqrt().asinh().item()}
    for steps in (40, 1000):
        place = lengths.index(steps)
        numbers[f"sym_{steps}"] = curves["both terms"][1][place]
        numbers[f"asym_{steps}"] = curves["P_t alone"][1][place]
    numbers["asym_scaled"] = numbers["asym_1000"] * 40 / 1000
    plot = lines_plot(curves, "steps", "shift of x_0", x_scale="log", y_scale="log")
    return numbers, plot


def of_inversion(schedule: Schedule, steps: int) -> dict[str, float]:
    """Return by how much the printed inversion, and DDIM's, scale unit Gaussian data."""
    predict, visited = exact_eps(UNIT, schedule), editing_times(schedule, steps)
    printed = torch.ones(1, 1).double()
    for t in visited[:0:-1]:
        bar = schedule.alpha_bar[t]
        eps = predict(printed, batch_time(max(t, 1), printed))
        printed = bar.sqrt() * printed + (1 - bar).sqrt() * eps
    right = ddim.invert(predict, schedule, torch.ones(1, 1).double(), visited)
    return {"printed_growth": printed.item(), "ddim_growth": right.item()}


def learned(model: ImageModel, name: str) -> Attribute:
    """Return an embedded direction with what it was learned for."""
    path = find_direction(name, find_model(MODEL))
    purpose = read_purpose(path)
    assert purpose.t_edit is not None and purpose.S is not None
    return Attribute(direction=read_direction(path), t_edit=purpose.t_edit, S=purpose.S)


def edited(
    model: ImageModel, steps: int, scales: tuple[float, ...], both: bool = False
) -> list[Tensor]:
    """Return every face (S, 3, H, W) at each scale of the direction."""
    attribute, visited = learned(model, DIRECTION), editing_times(model.schedule, steps)
    x_T = seed_noises(FACES, model.shape).repeat_interleave(len(scales), 0)
    column = torch.tensor(scales).repeat(len(FACES))[:, None]
    editing = Editing(attributes=[attribute], scales=column, both=both)
    images = images_of(model, edit(model, x_T, editing, visited))
    return list(images.split(len(scales)))


def of_both_terms(model: ImageModel, steps: int) -> tuple[dict[str, float], Image.Image]:
    """Return how far pixels move by a shift in both terms and in one, and the faces."""
    alone = edited(model, steps, (0.0, 1.0))
    twice = edited(model, steps, (1.0,), both=True)
    rows = [[plain, both, one] for (plain, one), (both,) in zip(alone, twice, strict=True)]
    numbers = {
        "moved_both": torch.stack([row[1] - row[0] for row in rows]).abs().mean().item(),
        "moved_P": torch.stack([row[2] - row[0] for row in rows]).abs().mean().item(),
        "face_steps": float(steps),
        "faces": float(len(FACES)),
    }
    heads = ("no shift", "both terms", "P_t alone")
    return numbers, grid([[to_picture(x) for x in row] for row in rows], column_labels=heads)


def of_scales(model: ImageModel, steps: int, scales: tuple[float, ...]) -> dict[str, Image.Image]:
    """Return the faces at each scale of the direction."""
    rows = edited(model, steps, scales)
    return {
        f"scale {scale:g}": grid([[to_picture(row[i])] for row in rows])
        for i, scale in enumerate(scales)
    }


def of_intervals(model: ImageModel, faces: int, steps: int) -> tuple[dict[str, float], str]:
    """Return t_edit, the largest γ_t, and both distances along the inversion of some faces."""
    images = captioned(captions=False).chosen(faces, 0).images(model.config.sampling.size)
    with torch.no_grad():
        found = distances(
            model, load_lpips(torch.device("cpu")), images, editing_times(model.schedule, steps)
        )
    times = sorted(found)
    strength, gamma = ([found[t][i].mean().item() for t in times] for i in (0, 1))
    numbers = {
        "t_edit": float(asyrp.t_edit(times, strength, asyrp.EDIT_DISTANCE)),
        "largest_gamma": max(gamma),
        "interval_faces": float(faces),
    }
    curves = {"LPIPS(x, P_t)": (times, strength), "LPIPS(x, x_t)": (times, gamma)}
    return numbers, lines_plot(curves, "t", "LPIPS", reference=asyrp.EDIT_DISTANCE)
