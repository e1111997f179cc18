"""Chapter 9: inversion, guidance and edits of Gaussian data, a dragged blob, and an edited face."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core import cycle_diffusion, ddim, drag, null_text, text_editing
from latentgeo.core.gaussian import Gaussian, exact_eps, marginal
from latentgeo.core.guidance import guided
from latentgeo.core.parameterization import Predict
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, late_times, scaled_linear, times
from latentgeo.eval.course.computed import Computed
from latentgeo.eval.course.plots import lines_plot
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.infer.inversion.invert import Inverting, Texts, ascend, back, null_texts
from latentgeo.infer.pictures.images import grid, to_picture
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.text_edits.editing import drawing, editing, invert, reconstruct
from latentgeo.infer.text_edits.methods import run_edit
from latentgeo.infer.text_edits.settings import EditOptions, Method

SCHEDULE = scaled_linear()
WIDTH = 0.5  # s_0 of the Gaussian data
CELLS, HANDLE, TARGET = 40, (12.0, 20.0), (26.0, 16.0)  # of the feature map
METHODS: tuple[Method, ...] = (
    "smooth", "sdedit", "cycle-diffusion", "prompt-to-prompt", "plug-and-play", "pix2pix-zero"
)  # fmt: skip
GUIDANCE = 3.0  # w


def compute(*, quick: bool) -> Computed:
    """Return the numbers and pictures of chapter 9; `quick` has fewer steps and methods."""
    trips, round_trip = of_round_trips((10, 20) if quick else (10, 20, 50, 100, 200))
    nulls, null_picture = of_null_text(10 if quick else 50)
    strengths, strength = of_strength(20 if quick else 200)
    drags, film = of_drag(4 if quick else 100)
    faces, sheet = of_faces(2 if quick else 25, METHODS[:1] if quick else METHODS)
    return Computed(
        numbers={**trips, **nulls, **strengths, **drags, **faces},
        pictures={
            "round_trip": round_trip,
            "null_text": null_picture,
            "strength": strength,
            "faces": sheet,
        },
        frames={"drag": film},
    )


def exact(mean: float) -> Predict:
    """Return the exact network of Gaussian data of a mean."""
    return exact_eps(Gaussian(torch.tensor(mean).double(), torch.tensor(WIDTH).double()), SCHEDULE)


def one(value: float) -> Tensor:
    """Return a sample (1, 1) of one number."""
    return torch.full((1, 1), value, dtype=torch.float64)


def of_round_trips(lengths: Sequence[int]) -> tuple[dict[str, float], str]:
    """Return the relative error of inversion and back, by its kind and the number of steps."""
    kinds: dict[str, Callable[..., Tensor]] = {
        "printed": ddim.invert,
        "released": ddim.invert_official,
        "one round": partial(ddim.invert, refine=1),
        "three rounds": partial(ddim.invert, refine=3),
    }
    predict, curves = exact(0.0), {}
    for name, inverse in kinds.items():
        errors = []
        for steps in lengths:
            visited = times(SCHEDULE, steps, "trailing", final="zero")
            x_T = inverse(predict, SCHEDULE, one(1.0), visited)
            errors.append(abs(ddim.sample(predict, SCHEDULE, x_T, visited).item() - 1))
        curves[name] = lengths, errors
    place = min(2, len(lengths) - 1)
    numbers = {f"round_{name.replace(' ', '_')}": e[place] for name, (_, e) in curves.items()}
    plot = lines_plot(curves, "steps", "relative error", x_scale="log", y_scale="log")
    return numbers | {"round_steps": float(lengths[place]), "round_std": WIDTH}, plot


def prompted(x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
    """Return the exact ε (B, n) of Gaussian data whose mean is the embedding (B, 1, n)."""
    data = Gaussian(context[:, 0], torch.tensor(WIDTH).double())
    return exact_eps(data, SCHEDULE)(x_t, t)


def of_null_text(
    steps: int, w: float = GUIDANCE, apart: float = 0.1
) -> tuple[dict[str, float], str]:
    """Return what guidance and null-text inversion miss, and how ∅_t goes towards the prompt."""
    visited = times(SCHEDULE, steps, "trailing", final="zero")
    x_0 = torch.randn(1, 16, generator=generator(9, "image"), dtype=torch.float64) * WIDTH
    null = torch.zeros(1, 1, 16, dtype=torch.float64)
    context = null + apart
    inverse = partial(ddim.invert, refine=5)
    pivot = null_text.pivots(inverse, lambda x, t: prompted(x, t, context), SCHEDULE, x_0, visited)
    found = list(null_text.descend(prompted, SCHEDULE, pivot, visited, context, null, GUIDANCE))
    plain = ddim.sample(guided(prompted, context, null, GUIDANCE), SCHEDULE, pivot[0], visited)
    rest = [((context - each).mean() / apart).item() for each, _ in found]
    missed = [
        (x - on).square().mean().sqrt().item() for (_, x), on in zip(found, pivot[1:], strict=True)
    ]
    numbers = {
        "null_w": GUIDANCE,
        "null_drift": (plain - x_0).square().mean().sqrt().item(),
        "null_predicted": (1 - correlation(SCHEDULE.T)) * (GUIDANCE - 1) * apart,
        "null_fitted": missed[-1],
        "null_left": 100 * abs(rest[-1]),
    }
    curves = {
        "left of the way from ∅ to the prompt": (visited[:-1], rest),
        "distance to the pivot": (visited[:-1], missed),
    }
    return numbers, lines_plot(curves, "t", "share, distance", reference=0)


def correlation(t: int) -> float:
    """Return ρ_t of x_0 and x_t."""
    data = Gaussian(torch.tensor(0.0).double(), torch.tensor(WIDTH).double())
    _, variance = marginal(data, SCHEDULE, batch_time(t, one(0.0)), one(0.0))
    return (WIDTH * SCHEDULE.alpha_bar[t].sqrt() / variance.sqrt()).item()


def of_strength(steps: int, t: int = 500) -> tuple[dict[str, float], str]:
    """Return how far edits go of the way from one mean to another, and ρ_t's curves."""
    whole = times(SCHEDULE, steps, "trailing", final="zero")
    late = late_times(whole, t / SCHEDULE.T)
    source, target, x_0 = exact(0.0), exact(1.0), one(0.0)
    x_T = ddim.invert(source, SCHEDULE, x_0, whole, refine=3)
    switch = text_editing.switched(source, target, SCHEDULE, t / SCHEDULE.T)
    noises = torch.randn(len(late) - 1, 1, 1, generator=generator(9, "cycle"), dtype=torch.float64)
    cycle = partial(cycle_diffusion.cycle_diffusion, source, target, SCHEDULE, x_0, noises, late)
    found = {
        "found_switch": ddim.sample(switch, SCHEDULE, x_T, whole),
        "found_sdedit": text_editing.sdedit(target, SCHEDULE, x_0, one(0.0), whole, t / SCHEDULE.T),
        "found_cycle_0": cycle(0.0),
        "found_cycle_1": cycle(1.0),
    }
    rho = correlation(t)
    theory = {"theory": 1 - rho, "theory_squared": 1 - rho**2}
    settings = {"switch_t": float(t), "switch_std": WIDTH, "switch_steps": float(steps)}
    at = range(1, SCHEDULE.T + 1, 9)
    every = [correlation(i) for i in at]
    curves = {
        "strength, 1 − ρ": (at, [1 - one for one in every]),
        "strength of Cycle at η = 1, 1 − ρ²": (at, [1 - one**2 for one in every]),
        "kept by SDEdit, ρ": (at, every),
    }
    values = {name: value.item() for name, value in found.items()}
    return {**values, **theory, **settings}, lines_plot(curves, "t of the switch", "share")


def blob(centre: Tensor, width: float = 2.5) -> Tensor:
    """Return features (3, H, W) around a centre (2,): how near a cell is, and on which side."""
    line = torch.arange(CELLS, dtype=centre.dtype)
    x, y = line[None, :] - centre[0], line[:, None] - centre[1]
    near = torch.exp(-(x.square() + y.square()) / (2 * width**2))
    return torch.stack([near, near * x / width, near * y / width])


def without_stop(features: Tensor, handles: Tensor, steps: Tensor, radius: int) -> Tensor:
    """Return motion supervision whose second term has a gradient, too."""
    around = handles[:, None] + drag.square(radius, 1, handles)
    ahead = drag.sample(features, around + steps[:, None])
    return (ahead - drag.sample(features, around)).abs().sum()


def dragged(loss: Callable[..., Tensor], updates: int) -> list[tuple[Tensor, Tensor]]:
    """Return the centre (2,) and the handle (1, 2) before each update, until it has arrived."""
    handles, targets = (torch.tensor([place]).double() for place in (HANDLE, TARGET))
    centre = handles[0].clone().requires_grad_()
    templates = drag.sample(blob(centre).detach(), handles)
    adam, states = torch.optim.Adam([centre], lr=0.2), []
    for _ in range(updates):
        features = blob(centre)
        handles = drag.track(features.detach(), templates, handles, radius=3)
        states.append((centre.detach().clone(), handles))
        if drag.arrived(handles, targets, 0.5).all():
            break
        adam.zero_grad()
        loss(features, handles, drag.directions(handles, targets), 3).backward()
        adam.step()
    return states


def of_drag(updates: int) -> tuple[dict[str, float], dict[str, Image.Image]]:
    """Return how a blob follows motion supervision, with its stop-gradient and without."""
    with_stop = dragged(drag.motion_supervision, updates)
    others = dragged(without_stop, len(with_stop))
    start, end = torch.tensor(HANDLE), torch.tensor(TARGET)
    numbers = {
        "drag_updates": float(len(with_stop) - 1),
        "drag_distance": (end - start).norm().item(),
        "drag_left": (with_stop[-1][0] - end).norm().item(),
        "drag_stuck": (others[-1][0] - start).norm().item(),
    }
    count = min(10, len(with_stop))
    chosen = [round(i * (len(with_stop) - 1) / max(1, count - 1)) for i in range(count)]
    film = {
        f"update {k}, with the stop-gradient, and without": grid(
            [[map_picture(*with_stop[k])], [map_picture(*others[min(k, len(others) - 1)])]]
        )
        for k in chosen
    }
    return numbers, film


def map_picture(centre: Tensor, handles: Tensor) -> Image.Image:
    """Return the blob, its handle in red and its target in green."""
    dark = blob(centre)[0].float()
    image = 0.9 - 1.3 * torch.stack([dark, dark, 0.2 * dark])
    for (x, y), tone in ((TARGET, (-1.0, 0.3, -1.0)), (handles[0].tolist(), (1.0, -0.6, -1.0))):
        image[:, round(y), round(x)] = torch.tensor(tone)
    return to_picture(image)


def likeness(noise: Tensor) -> Tensor:
    """Return n Σ ρ² (B,) over numbers 1 to 4 apart along either axis: χ² of 8 if white."""
    noise = noise - noise.mean((1, 2, 3), keepdim=True)
    products = [noise * noise.roll(apart, axis) for apart in range(1, 5) for axis in (-2, -1)]
    rho = torch.stack(products).mean((2, 3, 4)) / noise.square().mean((1, 2, 3))
    return noise[0].numel() * rho.square().sum(0)


def of_faces(steps: int, methods: Sequence[Method]) -> tuple[dict[str, float], Image.Image]:
    """Return errors of a held-out face's reconstructions, and its edits side by side."""
    bundle, held = load_model("avatars", "cpu"), captioned().chosen(1, 9)
    images, options = held.images(64), EditOptions()
    source = held.captions[0]
    target = source.replace("black hair", "blond hair")
    edit = editing(bundle, [source], [target], steps, GUIDANCE, 1.0)
    with torch.no_grad():
        z_0 = bundle.encode(images).float()
    x_T = invert(bundle, z_0, [source], edit.times, options.refine)
    draw = drawing([9], z_0)
    how = Inverting(method="null-text", steps=steps, guidance=GUIDANCE)
    texts = Texts(edit.source.context, edit.null)
    pivot = ascend(bundle, z_0, texts, how)
    nulls = torch.stack([null for null, _ in null_texts(bundle, pivot, texts, how)])
    shown = {
        "autoencoder": z_0,
        "w = 1": reconstruct(edit, x_T),
        "w = 3": reconstruct(
            replace(edit, source=edit.target.__class__(edit.source.context, GUIDANCE)), x_T
        ),
        "null text": back(bundle, pivot[0], texts, nulls, how),
    }
    shown |= {name: run_edit(edit, name, options, x_T, z_0, draw) for name in methods}
    with torch.no_grad():
        made = {name: bundle.decode(z).float().clamp(-1, 1) for name, z in shown.items()}

    def mse(name: str) -> float:
        return ((made[name] - images) / 2).square().mean().item()

    white = torch.randn(64, *z_0.shape[1:], generator=generator(9, "white"))
    numbers = {
        "mse_vae": mse("autoencoder"),
        "mse_1": mse("w = 1"),
        "mse_w": mse("w = 3"),
        "mse_null": mse("null text"),
        "face_steps": float(steps),
        "face_w": GUIDANCE,
        "like_white": likeness(white).mean().item(),
        "like_inverted": likeness(x_T).item(),
    }
    tiles = {"image": images} | made
    rows = [[to_picture(x[0]) for x in tiles.values()]]
    return numbers, grid(rows, column_labels=list(tiles))
