"""`latentgeo eval-asyrp`: semantic edits and the properties of h-space, measured.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5. A measurement is a file `asyrp_<property>.py`
with `measure`, rows of some images by one edit, and `of_rows`, the numbers of all rows. Rows are on
disk as they are finished, one folder per property and edit.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.core.asyrp import Judge
from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import sha256
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.metrics.heldout import Origin, captioned, data_of
from latentgeo.eval.runs.jobs import measured_jobs
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate
from latentgeo.eval.semantic import (
    consistency,
    homogeneity,
    layers,
    linearity,
    rivals,
    robustness,
    steps,
    success,
)
from latentgeo.eval.semantic.looks import Readers, features
from latentgeo.eval.semantic.settings import ASKED, PROPERTIES, EvalAsyrp
from latentgeo.eval.semantic.subject import Edit, Rival, Subject
from latentgeo.eval.semantic.wanted import wanted_of
from latentgeo.infer.sampling.loading import loaded_hash
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.noise import noises_of
from latentgeo.infer.semantic.run import attributes_of, direction_file
from latentgeo.infer.semantic.settings import EditSemantic
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.delta_file import read_purpose
from latentgeo.models.judges.classifier import load_classifier
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.judges.segmenter import load_segmenter
from latentgeo.models.perceptual import load_lpips

REAL = 256  # real faces that the nearest is looked for among


class Property(NamedTuple):
    """One measurement: its rows, its numbers, and the options that it alone depends on."""

    measure: Callable[[Subject, Edit, Sequence[int]], list[Row]]
    of_rows: Callable[[Sequence[Row]], dict[str, Estimate]]
    options: tuple[str, ...] = ()


MEASURED = {
    "success": Property(success.measure, success.of_rows),
    "rivals": Property(rivals.measure, rivals.of_rows, ("t_0",)),
    "linearity": Property(linearity.measure, linearity.of_rows, ("scales",)),
    "homogeneity": Property(homogeneity.measure, homogeneity.of_rows),
    "robustness": Property(robustness.measure, robustness.of_rows, ("levels", "keep_variance")),
    "consistency": Property(consistency.measure, consistency.of_rows, ("averaged",)),
    "steps": Property(steps.measure, steps.of_rows, ("lengths",)),
    "layers": Property(layers.measure, layers.of_rows),
}
assert tuple(MEASURED) == PROPERTIES + ASKED


def evaluate_asyrp(cmd: EvalAsyrp) -> list[Result]:
    """Measure, write results.json, print the table."""
    device = pick_device(cmd.device)
    with process_group(device):
        subject, edits = prepared(cmd, device)
        results = all_measured(cmd, subject, edits)
        if is_main():
            write_run(cmd, cmd.out)
            write_results(cmd.out / "results.json", results)
            print(text_table(results))
    return results


def prepared(cmd: EvalAsyrp, device: torch.device) -> tuple[Subject, list[Edit]]:
    """Return the model with its inverted images, and the edits; ValueError if they do not fit."""
    model = load_plain(cmd.model, device, config=cmd.model_config, prediction=cmd.prediction)
    judge = load_judge(cmd.judge, device)
    edits = edits_of(cmd, model, judge)
    rivals = rivals_of(cmd, edits, device)
    readers = readers_of(cmd, judge, device)
    readers.check(model.config.sampling.size)
    return subject_of(cmd, model, readers, rivals), edits


def all_measured(cmd: EvalAsyrp, subject: Subject, edits: Sequence[Edit]) -> list[Result]:
    """Return the numbers of every property of every edit."""
    return [
        one_result
        for name in dict.fromkeys(cmd.properties)
        for one in asked(name, edits)
        for one_result in measured(cmd, name, subject, one)
    ]


def asked(name: str, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits that a property is measured of: noise, of the longest interval alone."""
    if name == "robustness":
        return [min(edits, key=lambda one: one.attribute.t_edit)]
    return list(edits)


def measured(cmd: EvalAsyrp, name: str, subject: Subject, one: Edit) -> list[Result]:
    """Return the numbers of one property of one edit, going on from the rows on disk."""
    kind, settings = MEASURED[name], settings_of(cmd, name, subject, one)
    folder = cmd.out / "rows" / name / one.name
    do = partial(kind.measure, subject, one)
    rows = measured_jobs(folder, settings, cmd.n_images, cmd.batch, do, f"{name}, {one.name}")
    return [
        result("Asyrp", f"{name}: {metric}", one.name, value, cmd.seed, settings)
        for metric, value in kind.of_rows(rows).items()
    ]


def settings_of(cmd: EvalAsyrp, name: str, subject: Subject, one: Edit) -> dict[str, object]:
    """Return all that decides a property's rows, but for the number of images."""
    rival = subject.rivals.get(one.name)
    settings = {
        "model": cmd.model,
        "weights": loaded_hash(subject.model),
        "edit": one.hash,
        "texts": list(one.said),
        "t_edit": one.attribute.t_edit,
        "t_boost": one.t_boost,
        "overlap": one.overlap,
        "S": one.attribute.S,
        "steps": cmd.steps,
        "judge": cmd.judge,
        "classifier": None if cmd.classifier is None else sha256(cmd.classifier)[:16],
        "data": Origin(data_of(cmd.data), captions=False).digest(),
        "seed": cmd.seed,
        "version": version("latentgeo"),
    }
    settings |= {option: getattr(cmd, option) for option in MEASURED[name].options}
    return settings | ({"rival": rival.hash} if name == "rivals" and rival else {})


def edits_of(cmd: EvalAsyrp, model: ImageModel, judge: Judge) -> list[Edit]:
    """Return the edits with what they want; ValueError where a file does not say its texts."""
    given = EditSemantic(
        model=cmd.model,
        direction=cmd.edits,
        out=cmd.out,
        seeds=(cmd.seed,),
        intervals=cmd.intervals,
        t_edit=cmd.t_edit,
        t_boost=cmd.t_boost,
        learned_steps=cmd.learned_steps,
    )
    found = []
    for spec, named in zip(cmd.edits, attributes_of(given, model), strict=True):
        path, _ = direction_file(cmd.model, spec)
        purpose = read_purpose(path)
        if purpose.source is None or purpose.target is None:
            raise ValueError(f"{path} does not say its texts, wanted a direction of train-asyrp")
        said = purpose.source, purpose.target
        found.append(
            Edit(
                name=named.name,
                attribute=named.attribute,
                t_boost=named.t_boost,
                wanted=wanted_of(*said),
                texts=embedded(judge, said),
                said=said,
                hash=named.hash,
                overlap=cmd.overlap,
            )
        )
    return found


@torch.no_grad()
def embedded(judge: Judge, said: tuple[str, str]) -> Tensor:
    """Return E_T (2, K) of two texts, on the CPU."""
    return judge.texts(list(said)).cpu()


def rivals_of(cmd: EvalAsyrp, edits: Sequence[Edit], device: torch.device) -> dict[str, ImageModel]:
    """Return the whole models by the edit that each is tuned to; ValueError for no edit's name."""
    found, names = {}, [one.name for one in edits]
    for rival in cmd.rivals:
        name, _, spec = rival.partition("=")
        if name not in names:
            raise ValueError(
                f"rivals: got {name!r}, wanted the name of an edit: {', '.join(names)}"
            )
        found[name] = load_plain(spec, device)
    return found


@torch.no_grad()
def readers_of(cmd: EvalAsyrp, judge: Judge, device: torch.device) -> Readers:
    """Return what looks at images; the real faces are of the split that models are trained on."""
    classifier = load_classifier(cmd.classifier).to(device)
    lpips, known = load_lpips(device), captioned(cmd.data, "train", (cmd.model,), captions=False)
    real = known.first(REAL).images(classifier.config.size)
    return Readers(
        classifier=classifier,
        judge=judge,
        lpips=lpips,
        segmenter=load_segmenter().to(device),
        real=torch.cat([features(lpips, part) for part in real.split(64)]),
    )


def subject_of(
    cmd: EvalAsyrp, model: ImageModel, readers: Readers, rivals: dict[str, ImageModel]
) -> Subject:
    """Return the held-out images, inverted, and one more that is only a donor.

    Raises ValueError where no step of the inversion lies at or below t_0, which rivals need.
    """
    held = captioned(cmd.data, "test", (cmd.model,), captions=False)
    held = held.chosen(cmd.n_images + 1, cmd.seed, "n_images + 1")
    images = held.images(model.config.sampling.size)
    visited, folder = editing_times(model.schedule, cmd.steps), cmd.out / "inversions"
    lower = tuple(t for t in visited if t <= cmd.t_0)
    if rivals and len(lower) < 2:
        raise ValueError(f"t_0: got {cmd.t_0}, below all times of --steps {cmd.steps}; wanted more")
    x = noises_of(model, images, lower, folder) if rivals else torch.empty(0)
    return Subject(
        model=model,
        readers=readers,
        images=images,
        x_T=noises_of(model, images, visited, folder),
        steps=cmd.steps,
        seed=cmd.seed,
        scales=cmd.scales,
        levels=cmd.levels,
        keep_variance=cmd.keep_variance,
        lengths=cmd.lengths,
        averaged=cmd.averaged,
        rivals={
            name: Rival(model=one, hash=loaded_hash(one), x=x, visited=lower)
            for name, one in rivals.items()
        },
    )
