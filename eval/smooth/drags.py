"""`latentgeo eval-drag`: prepared drags of held-out images, the same for several models.

Measures, per case: the distance from where a judge that no model knows finds the handles
(infer/drags/matching.py) to the targets, DragBench's mean distance (MD); its image fidelity
(IF), 1 - LPIPS of the edited image and the same image through the model; and how far the pixels
that the mask keeps have moved from those of the image through the model, 1 being the whole range.

The package's cases are of ten held-out faces, chosen by hand: each in turn is to go an eighth of
the image right, left and down, by an eye and its mouth, its background at both sides kept; of two,
hair is to be longer and a mouth wider open instead. They are no unbiased sample. That a person
moves whole and by two points, not the head alone by five, was settled after trials on three of the
faces; the settings of small models (infer/drags/defaults.py) were chosen on all ten.

Files: `results.json`, `cases.json` (the measures of every case), `cases.png` and `run.toml`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.core.run.text import read_text
from latentgeo.eval.metrics.heldout import Captioned, at_hand
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.statistics import mean_interval, proportion_interval
from latentgeo.eval.smooth.settings import EvalDrag
from latentgeo.infer.drags.defaults import dragging_of
from latentgeo.infer.drags.drag import Dragged, Request, edit
from latentgeo.infer.drags.matching import found_again
from latentgeo.infer.drags.run import with_points
from latentgeo.infer.pictures.images import grid, save_png
from latentgeo.infer.sampling.loading import load_model, loaded_hash, parse_model
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.perceptual import Lpips, load_lpips

CASES = Path(__file__).with_name("drag_cases.json")
CLOSE = 2.0  # pixels between a handle and its target at which it is there
MD, THERE = "MD, pixels", f"MD within {CLOSE:g} pixels, share of cases"
TRACKED = "distance by the drag's own tracker, pixels"
IF, KEPT = "IF, 1 - LPIPS", "change of the pixels the mask keeps, of 255"
DECODED = f"{KEPT}, before they are put back"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prepared drag: which image, what is done to it, and where it may change."""

    image: str  # file name in the data
    what: str  # in words
    points: Sequence[Sequence[Sequence[float]]]  # [[x0, y0], [x1, y1]] per handle, pixels
    editable: Sequence[int]  # x0, y0, x1, y1 of the box that may change, both ends included

    def request(self, height: int, width: int) -> Request:
        """Return the drag for an image of so many pixels."""
        pairs = torch.tensor(self.points, dtype=torch.float64)  # (n, 2, 2)
        handles, targets = pairs.unbind(dim=1)
        x0, y0, x1, y1 = self.editable
        mask = torch.zeros(height, width)
        mask[y0 : y1 + 1, x0 : x1 + 1] = 1
        return Request(handles=handles, targets=targets, mask=mask)


@dataclass(frozen=True, kw_only=True)
class DragScores:
    """The measures of one drag; distances are means over its handles, in pixels."""

    distance: float  # by the judge, of the edited image
    start: float  # before the drag
    tracked: float  # by the drag's own tracker
    fidelity: float
    kept: float  # of 255, in the edited image
    decoded: float  # of 255, before the protected pixels are put back
    updates: int


@dataclass(frozen=True, kw_only=True)
class Drags:
    """What one model made of the cases."""

    settings: Mapping[str, object]
    done: Sequence[Dragged]
    measured: Sequence[DragScores]


def evaluate_drag(cmd: EvalDrag) -> list[Result]:
    """Drag every case with every model, write results and pictures, print the table."""
    for spec in cmd.models:
        parse_model(spec).check()
    cases = read_cases(cmd.cases or CASES)[: cmd.limit]
    data = only(at_hand(cmd.data, cmd.models), [case.image for case in cases])
    write_run(cmd, cmd.out)
    judge = load_lpips()
    found = {spec: dragged(cmd, spec, cases, data, judge) for spec in cmd.models}
    results = drag_results(found, cmd.seed)
    write_results(cmd.out / "results.json", results)
    rows = {
        spec: [asdict(case) | asdict(m) for case, m in zip(cases, one.measured, strict=True)]
        for spec, one in found.items()
    }
    atomic_write(cmd.out / "cases.json", json.dumps(rows, indent=2) + "\n")
    save_png(cmd.out / "cases.png", sheet(cases, found))
    print(text_table(results))
    return results


def dragged(
    cmd: EvalDrag, spec: str, cases: Sequence[Case], data: Captioned, judge: Lpips
) -> Drags:
    """Load one model, drag every case with it, and measure."""
    bundle = load_model(spec, cmd.device, cmd.dtype)
    how, images = dragging_of(bundle), data.images(bundle.config.sampling.size)
    done, measured = [], []
    for i, case in enumerate(progress(cases, label=f"dragging, {spec}", unit="case")):
        request = case.request(images.shape[2], images.shape[3])
        done.append(edit(bundle, images[i : i + 1], data.captions[i], request, how, cmd.seed))
        measured.append(measure(done[-1], request, judge))
    weights = {"model": spec, "weights": loaded_hash(bundle), "version": version("latentgeo")}
    return Drags(settings={**weights, **asdict(how)}, done=done, measured=measured)


@torch.no_grad()
def measure(done: Dragged, request: Request, judge: Lpips) -> DragScores:
    """Return the measures of one drag."""
    before, after = done.original.clamp(-1, 1), done.edited.clamp(-1, 1)
    decoded = done.decoded.clamp(-1, 1)
    points = found_again(judge, before, after, request.handles, request.targets).points
    kept = request.mask < 0.5
    change = (torch.stack([after, decoded]) - before).abs().mean(dim=1)[:, kept] * 127.5
    return DragScores(
        distance=_mean_distance(points, request.targets),
        start=_mean_distance(request.handles, request.targets),
        tracked=_mean_distance(done.moved.tracks[-1], request.targets),
        fidelity=1 - judge.distance(after[None], before[None]).item(),
        kept=change[0].mean().item() if kept.any() else 0.0,
        decoded=change[1].mean().item() if kept.any() else 0.0,
        updates=len(done.moved.losses),
    )


def _mean_distance(points: Tensor, targets: Tensor) -> float:
    return float((points.double() - targets.double()).norm(dim=1).mean())


def drag_results(found: Mapping[str, Drags], seed: int) -> list[Result]:
    """Return every measure of every model, and the paired differences to the first one."""
    columns = {"distance": MD, "tracked": TRACKED, "fidelity": IF, "kept": KEPT, "decoded": DECODED}
    reference = next(iter(found))
    results = []
    for spec, one in found.items():
        values = {name: [getattr(m, name) for m in one.measured] for name in columns}
        for name, metric in columns.items():
            estimate = mean_interval(values[name])
            results.append(result("Drag", metric, spec, estimate, seed, one.settings))
        there = sum(value <= CLOSE for value in values["distance"])
        share = proportion_interval(there, len(one.measured))
        results.append(result("Drag", THERE, spec, share, seed, one.settings))
        if spec == reference:
            continue
        for name, metric in columns.items():
            base = [getattr(m, name) for m in found[reference].measured]
            change = mean_interval([a - b for a, b in zip(values[name], base, strict=True)])
            title = f"{metric}, minus {reference}"
            results.append(result("Drag", title, spec, change, seed, one.settings))
    return results


def sheet(cases: Sequence[Case], found: Mapping[str, Drags]) -> Image.Image:
    """Return a picture: a row per case with the image through the first model and every edit."""
    rows, heads = [], ["through the model", *short_names([*found])]
    for i, case in enumerate(cases):
        edits = [one.done[i] for one in found.values()]
        request = case.request(edits[0].original.shape[1], edits[0].original.shape[2])
        row = [with_points(edits[0].original, request.handles, request.targets)]
        for done in edits:
            now = done.moved.tracks[-1]
            row.append(with_points(done.edited, request.handles, request.targets, now))
        rows.append(row)
    return grid(rows, row_labels=[case.what for case in cases], column_labels=heads)


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a JSON file `{"cases": [{"image", "what", "points", "editable"}]}`.

    Raises FileNotFoundError, or ValueError for a file of another form or without a case.
    """
    if not path.is_file():
        raise FileNotFoundError(f"cases: no such file: {path}")
    try:
        cases = [Case(**one) for one in json.loads(read_text(path))["cases"]]
    except (ValueError, KeyError, TypeError):
        wanted = '{"cases": [{"image", "what", "points", "editable"}, ...]}'
        raise ValueError(f"{path}: not a file of cases, wanted {wanted}") from None
    if not cases:
        raise ValueError(f"{path}: has no case")
    return cases


def only(data: Captioned, names: Sequence[str]) -> Captioned:
    """Return the captioned images of these names, in this order; ValueError if one is missing."""
    numbers = {name: i for i, name in enumerate(data.names)}
    if missing := [name for name in names if name not in numbers]:
        raise ValueError(f"{data.origin.data} has no image {missing[0]}")
    return data.at([numbers[name] for name in names])
