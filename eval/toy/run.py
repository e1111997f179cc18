"""`latentgeo toy-isometry`: the autoencoder that flattens a sphere, with three losses.

Hahm et al. (arXiv 2407.11451), Fig. 2 and App. A. Files: `maps.png`, what the contours of the
sphere become (Fig. 2, II); `traces.png`, exact beside estimated traces in training (Fig. III) and
against the number of probes (Fig. I); `results.json`, the numbers of both with their settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from PIL import Image

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import generator
from latentgeo.eval.page.canvas import Axes, Canvas, Colour
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.statistics import mean_interval
from latentgeo.eval.toy.autoencoder import Kind, Trained, held_out_points, trained
from latentgeo.eval.toy.distortion import (
    Distortion,
    ProbeError,
    distortion,
    probe_errors,
    running_estimate,
)
from latentgeo.eval.toy.pictures import Panel, maps_picture
from latentgeo.eval.toy.settings import ToyIsometry
from latentgeo.infer.pictures.images import save_png

TITLES: Mapping[Kind, str] = {
    "reconstruction": "reconstruction alone",
    "plane": "isometry, G = I",
    "sphere": "isometry, G of the sphere",
    "estimated": "the same, traces estimated",
}
METRICS = {
    "condition": "condition number",
    "spread": "spread of singular values",
    "distances": "error of distances",
    "folded": "share turned over",
    "loss": "L_iso (at least 0.5)",
}
POINTS, PROBES = 2000, 512  # held out, for the numbers; of the estimates
COLOURS: Mapping[Kind, Colour] = {"sphere": (48, 52, 140), "estimated": (236, 150, 56)}
Runs = Mapping[Kind, Sequence[Trained]]


def toy_isometry(cmd: ToyIsometry) -> str:
    """Train every kind, write pictures and numbers, and return the table."""
    runs: dict[Kind, list[Trained]] = {kind: [] for kind in TITLES}
    with progress(total=len(TITLES) * cmd.repeats, label="flattening", unit="training") as bar:
        for kind, found in runs.items():
            for repeat in range(cmd.repeats):
                found.append(trained(cmd, kind, repeat))
                bar.update()
    x = held_out_points(cmd, POINTS)
    numbers = {kind: [distortion(one.encode, x) for one in found] for kind, found in runs.items()}
    first = runs["sphere"][0].encode
    errors = probe_errors(first, x[:64], PROBES, generator(cmd.seed, "errors"))
    estimates = running_estimate(first, x[:1], PROBES, generator(cmd.seed, "estimates"))
    write_run(cmd, cmd.out)
    about: dict[str, object] = {"seed": cmd.seed, "gap": cmd.gap, "weight": cmd.iso_weight}
    save_png(cmd.out / "maps.png", maps_picture(panels(runs, numbers), cmd.gap), about)
    save_png(cmd.out / "traces.png", traces_picture(runs, errors, *estimates), about)
    found_results = results(cmd, numbers)
    more = [*probe_results(cmd, errors), *estimate_results(cmd, *estimates)]
    write_results(cmd.out / "results.json", [*found_results, *more])
    return text_table(found_results)


def panels(runs: Runs, numbers: Mapping[Kind, Sequence[Distortion]]) -> list[Panel]:
    """Return the sphere and each kind's first map, with its own numbers."""
    note = "below: circles of one size;\nan isometry: condition 1, spread 0"
    found = [Panel("the sphere", None, note)]
    for kind, title in TITLES.items():
        one = numbers[kind][0]
        note = f"condition {one.condition:.2f}, spread {one.spread:.2f}\n"
        note += f"distances off by {one.distances:.0%}"
        if one.folded > 0.005:
            note += f", {one.folded:.0%} folded"
        found.append(Panel(title, runs[kind][0].encode, note))
    return found


def results(cmd: ToyIsometry, numbers: Mapping[Kind, Sequence[Distortion]]) -> list[Result]:
    """Return the numbers of each kind, means over the repeats."""
    settings = {key: value for key, value in asdict(cmd).items() if key not in ("out", "seed")}
    rows = []
    for kind, found in numbers.items():
        for name, metric in METRICS.items():
            estimate = mean_interval([getattr(one, name) for one in found])
            given = {**settings, "points": POINTS}
            rows.append(result("Iso", metric, TITLES[kind], estimate, cmd.seed, given))
    return rows


def probe_results(cmd: ToyIsometry, errors: Sequence[ProbeError]) -> list[Result]:
    """Return the relative error of the estimated trace by the number of probes."""
    return [
        Result(
            paper="Iso",
            metric="relative error of the estimated Tr(R)",
            model=TITLES["sphere"],
            value=one.measured,
            interval=None,
            n=one.groups,
            seed=cmd.seed,
            settings={"probes": one.probes, "predicted": one.predicted},
        )
        for one in errors
    ]


def estimate_results(
    cmd: ToyIsometry, estimates: Sequence[tuple[int, float, float]], exact: float
) -> list[Result]:
    """Return the estimates of Tr(R) at one point, with their standard errors and the exact one."""
    return [
        Result(
            paper="Iso",
            metric="estimate of Tr(R) at one point",
            model=TITLES["sphere"],
            value=value,
            interval=None,
            n=count,
            seed=cmd.seed,
            settings={"probes": count, "standard error": error, "exact": exact},
        )
        for count, value, error in estimates
    ]


def traces_picture(
    runs: Runs,
    errors: Sequence[ProbeError],
    estimates: Sequence[tuple[int, float, float]],
    exact: float,
) -> Image.Image:
    """Return three plots: the loss in training, an estimate with its error, and the errors."""
    canvas = Canvas(1260, 330)
    training_plot(canvas, runs)
    estimate_plot(canvas, estimates, exact)
    error_plot(canvas, errors)
    return canvas.picture()


def training_plot(canvas: Canvas, runs: Runs) -> None:
    """Draw L_iso in training by exact and by estimated traces, a line per repeat.

    Iso Sec. A.1   Fig. III
    """
    steps = runs["sphere"][0].curve[-1][0]
    seen = [loss for kind in COLOURS for one in runs[kind] for _, loss in one.curve]
    span = (0.98 * min(seen), 1.02 * max(seen))
    axes = Axes(canvas=canvas, box=(50, 50, 400, 270), x=(0, steps), y=span, log_y=True)
    y_ticks = [y for y in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.5, 2, 4, 8) if span[0] <= y <= span[1]]
    ticks = [round(steps * i / 4) for i in range(5)]
    axes.frame(ticks, y_ticks, "L_iso of held-out points", "training step")
    for i, (kind, colour) in enumerate(reversed(list(COLOURS.items()))):
        for one in runs[kind]:
            axes.curve(one.curve, colour, 1.4)
        names = {"sphere": "exact traces", "estimated": "one probe per point"}
        canvas.text((395, 58 + 18 * i), names[kind], 12, "ra", colour)


def estimate_plot(
    canvas: Canvas, estimates: Sequence[tuple[int, float, float]], exact: float
) -> None:
    """Draw the estimates of Tr(R) at one point, with their standard errors, and the exact one."""
    most = estimates[-1][0]
    low = min(0.45 * exact, *(value - error for _, value, error in estimates))
    high = max(1.55 * exact, *(value + error for _, value, error in estimates))
    box = (480, 50, 820, 270)
    axes = Axes(
        canvas=canvas, box=box, x=(6, 1.4 * most), y=(low / exact, high / exact), log_x=True
    )
    count = [8, 32, 128, 512]
    axes.frame(
        [n for n in count if n <= most],
        (0.5, 1, 1.5),
        "estimate of Tr(R) at one point / exact",
        "probes",
    )
    axes.curve([(6, 1), (1.4 * most, 1)], COLOURS["sphere"])
    for n, value, error in estimates:
        colour = COLOURS["estimated"]
        axes.curve([(n, (value - error) / exact), (n, (value + error) / exact)], colour, 2)
        canvas.dot(axes.at(n, value / exact), colour, 4)


def error_plot(canvas: Canvas, errors: Sequence[ProbeError]) -> None:
    """Draw the error of Tr(R) against the number of probes, and what its variance predicts.

    Iso Sec. A.1   Fig. I, which falls as 1/√N
    """
    box = (900, 50, 1240, 270)
    most = errors[-1].probes
    axes = Axes(canvas=canvas, box=box, x=(0.8, 1.4 * most), y=(0.02, 2), log_x=True, log_y=True)
    ticks = [n for n in (1, 4, 16, 64, 256) if n <= most]
    axes.frame(ticks, (0.03, 0.1, 0.3, 1), "relative error of Tr(R), all points", "probes")
    axes.curve([(one.probes, one.predicted) for one in errors], COLOURS["sphere"])
    for one in errors:
        canvas.dot(axes.at(one.probes, one.measured), COLOURS["estimated"], 4)
    canvas.text((1235, 58), "measured", 12, "ra", COLOURS["estimated"])
    canvas.text((1235, 76), "predicted, as 1 / (square root of N)", 12, "ra", COLOURS["sphere"])
