"""`latentgeo eval-intervals`: how far P_t and x_t are from an image, along its inversion.

Asyrp (arXiv 2210.10960), Sec. 4, App. G and Fig. 19. P_t is as the model is sampled (clipped, if it
is), x_t as it is, or its decoding where latents are diffused.

Asyrp Sec. 4.1   LPIPS(x, P_t), and t_edit where it is 0.33 - δ
Asyrp Sec. 4.2   γ_t = LPIPS(x, x_t), and t_boost where it is 1.2

Both are the first time, from 1 on, whose mean reaches its value, as in the released code and in the
paper's Table 2. The text asks for the shortest interval [T, t_edit] that is strong enough: with
--edit-rule shortest, t_edit is the last time whose mean is not above it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.core import asyrp, ddim
from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.core.run.seeds import mix
from latentgeo.core.schedule import batch_time
from latentgeo.eval.metrics.heldout import Captioned, captioned
from latentgeo.eval.page.plots import curves_plot
from latentgeo.eval.runs.jobs import measured_jobs
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.settings import EvalIntervals
from latentgeo.infer.sampling.loading import loaded_hash
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.intervals import Intervals, Rule, write_intervals
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.perceptual import Lpips, load_lpips

Values = NDArray[np.float64]
RESAMPLES = 1000  # of the images, for the intervals of times
CURVES = {"strength": "LPIPS(x, P_t)", "deficiency": "LPIPS(x, x_t)"}


def evaluate_intervals(cmd: EvalIntervals) -> Intervals:
    """Measure, write intervals.json, intervals.svg and results.json, and print the times.

    Raises ValueError for a model with an adapter or classes.
    """
    device, dtype = pick_device(cmd.device), pick_dtype(cmd.dtype)
    model = load_plain(cmd.model, device, dtype, cmd.model_config, cmd.prediction)
    held = captioned(cmd.data, "test", (cmd.model,), captions=False).chosen(cmd.n_images, cmd.seed)
    settings: dict[str, object] = {
        "model": cmd.model,
        "weights": loaded_hash(model),
        "dtype": cmd.dtype,
        "data": held.origin.digest(),
        "seed": cmd.seed,
        "steps": cmd.steps,
        "version": version("latentgeo"),
    }
    with process_group(device):
        measure = partial(rows_of, model, load_lpips(device), held, cmd.steps)
        group = (cmd.out / "rows", settings, cmd.n_images, cmd.batch)
        rows = measured_jobs(*group, measure, f"intervals {cmd.model}")
        about = {**settings, "images": cmd.n_images, "boost": cmd.boost, "edit_rule": cmd.edit_rule}
        found = intervals_of(rows, cmd.boost, about, cmd.edit_rule)
        if is_main():
            write_all(cmd, rows, found)
    return found


@torch.no_grad()
def rows_of(
    model: ImageModel, lpips: Lpips, held: Captioned, steps: int, jobs: Sequence[int]
) -> list[Row]:
    """Return a row per image: both distances at the times of its inversion, ascending."""
    images = held.at(jobs).images(model.config.sampling.size).to(model.device)
    visited = editing_times(model.schedule, steps)
    found = distances(model, lpips, images, visited)
    times = sorted(found)
    both = torch.stack([torch.stack(found[t]) for t in times]).double().cpu()  # (n, 2, B)
    return [
        {"times": times, "strength": one[:, 0].tolist(), "deficiency": one[:, 1].tolist()}
        for one in both.unbind(2)
    ]


def distances(
    model: ImageModel,
    lpips: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    visited: tuple[int, ...],
) -> dict[int, tuple[Tensor, Tensor]]:
    """Return LPIPS(x, P_t) and LPIPS(x, x_t), both (B,), by t ≥ 1, of images x (B, 3, H, W).

    Asyrp Sec. G.2   the two curves of Fig. 19
    """
    denoiser, found = denoiser_of(model), {}

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        eps = denoiser(x_t, t)[0]
        P = model.decode(asyrp.predicted(model.schedule, x_t, eps, t))
        shown = x_t if model.autoencoder is None else model.decode(x_t)
        # x_0 itself is asked at t = 1 and comes before x_1, which takes its place
        found[int(t[0])] = lpips(images, P.to(images)), lpips(images, shown.to(images))
        return eps

    x_T = ddim.invert(predict, model.schedule, model.encode(images), visited)
    predict(x_T, batch_time(visited[0], x_T))
    return found


def intervals_of(
    rows: Sequence[Row], boost: float, settings: dict[str, object], rule: Rule = "first"
) -> Intervals:
    """Return the means over images."""
    strength, deficiency = columns(rows)
    return Intervals(
        times=times_of(rows),
        strength=tuple(strength.mean(0).tolist()),
        deficiency=tuple(deficiency.mean(0).tolist()),
        boost=boost,
        rule=rule,
        settings=settings,
    )


def times_of(rows: Sequence[Row]) -> tuple[int, ...]:
    """Return the times that every row has distances at."""
    return tuple(rows[0]["times"])  # type: ignore[arg-type]


def columns(rows: Sequence[Row]) -> tuple[Values, Values]:
    """Return both distances (N, n) of N images at n times."""
    both = [np.array([row[name] for row in rows], dtype=np.float64) for name in CURVES]
    return both[0], both[1]


def write_all(cmd: EvalIntervals, rows: Sequence[Row], found: Intervals) -> None:
    """Write every file, and print the times; warn where no x_t is noisy enough to boost."""
    times, named = times_of(rows), dict(zip(CURVES.values(), columns(rows), strict=True))
    estimates = {
        label: [mean_interval(values[:, i]) for i in range(len(times))]
        for label, values in named.items()
    }
    points = {
        label: [point(t, e) for t, e in zip(times, es, strict=True)]
        for label, es in estimates.items()
    }
    results = chosen(cmd, rows, found) + [
        result("Asyrp", f"{label} at t = {t}", cmd.model, e, cmd.seed, found.settings)
        for label, es in estimates.items()
        for t, e in zip(times, es, strict=True)
    ]
    write_run(cmd, cmd.out)
    write_intervals(cmd.out / "intervals.json", found)
    atomic_write(cmd.out / "intervals.svg", curves_plot(points, "t", "LPIPS"))
    write_results(cmd.out / "results.json", results)
    if not found.t_boost():
        top = max(found.deficiency)
        warnings.warn(
            f"LPIPS(x, x_t) is at most {top:.2f}, below {found.boost:g}: no boosting unless "
            "--t-boost says where, or a lower --boost is asked for here",
            stacklevel=2,
        )
    print(text_table([one for one in results if one.metric.startswith("t_")]))


def chosen(cmd: EvalIntervals, rows: Sequence[Row], found: Intervals) -> list[Result]:
    """Return t_edit by similarity, and t_boost, with intervals over resamples of the images."""
    strength, deficiency = columns(rows)
    rng = np.random.default_rng(mix(cmd.seed, "resamples"))
    n = len(rows)
    drawn = []
    for _ in range(RESAMPLES if n > 1 else 0):
        some = rng.integers(0, n, n)
        means = strength[some].mean(0), deficiency[some].mean(0)
        drawn.append(replace(found, strength=tuple(means[0]), deficiency=tuple(means[1])))
    asked: dict[str, Callable[[Intervals], int]] = {
        f"t_edit, cos = {cos:g}": partial(Intervals.t_edit, similarity=cos)
        for cos in cmd.similarity
    }
    asked["t_boost"] = Intervals.t_boost
    return [
        result("Asyrp", name, cmd.model, over(ask, found, drawn, n), cmd.seed, found.settings)
        for name, ask in asked.items()
    ]


def over(
    ask: Callable[[Intervals], int], found: Intervals, drawn: Sequence[Intervals], n: int
) -> Estimate:
    """Return what is asked of the means, with the middle 95 % of what resamples answer."""
    low, high = (-np.inf, np.inf)
    if drawn:
        low, high = np.quantile([ask(one) for one in drawn], [0.025, 0.975])
    return Estimate(value=float(ask(found)), low=float(low), high=float(high), n=n)


def point(t: int, e: Estimate) -> tuple[float, float, float, float]:
    """Return an estimate at t as a curve has it; without an interval its ends are the value."""
    finite = np.isfinite(e.low)
    return float(t), e.value, e.low if finite else e.value, e.high if finite else e.value
