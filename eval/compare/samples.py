"""What `latentgeo compare` measures of images that judges look at: samples, and edits by text.

Judges read an image once: what they saw of each is a row, so that a run goes on model by model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from latentgeo.eval.compare.measure import Bench, Outcome
from latentgeo.eval.contenders import Contender
from latentgeo.eval.isometric.rows import packed, unpacked
from latentgeo.eval.metrics.caption_adherence import TINY, Adherence
from latentgeo.eval.metrics.editing import KEPT, WANTED, Eyes, Seen
from latentgeo.eval.metrics.heldout import Captioned, captioned
from latentgeo.eval.metrics.quality import (
    ADHERENCE,
    FD,
    Judged,
    distance_ratio,
    draw_samples,
    quality_results,
    references,
)
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, function_of_means
from latentgeo.eval.smooth.edited import Edits, Faces, faces_of, seen_of
from latentgeo.eval.smooth.edits import all_results
from latentgeo.eval.smooth.settings import EvalEdit
from latentgeo.infer.text_edits.settings import Method
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.perceptual import load_lpips

Values = NDArray[np.float64]
EDIT: Method = "smooth"  # the way of editing by text: Smooth Eq. 15
SHOWN = "edits by text"  # beside models, of which one may be called smooth
SHARES: Mapping[str, Callable[[Seen], Values]] = {  # (N,) of each edit
    f"{SHOWN}: {WANTED}": lambda seen: seen.wanted,
    f"{SHOWN}: {KEPT}": lambda seen: seen.kept / seen.others,
}
HITS = 5


def quality(bench: Bench) -> Outcome:
    """Fréchet distance to held-out images, and adherence to captions (`eval-quality`)."""
    cmd, held = bench.cmd, bench.first("n_images")
    other = captioned(cmd.data, "train").chosen(cmd.n_images, cmd.seed)
    target, bounds = references(bench.base.bundle, bench.judges, held, other)
    seen = {one.name: _judged(bench, one, held) for one in bench.contenders}
    base = seen[bench.base.name]
    others = {name: one for name, one in seen.items() if one is not base}
    distances = {
        name: distance_ratio(one.features, base.features, target.features)
        for name, one in others.items()
    }
    shares = {
        name: one.adherence.over(base.adherence)
        for name, one in others.items()
        if one.adherence is not None and base.adherence is not None
    }
    results = quality_results(target, {**bounds, **seen}, cmd.seed, bench.settings, bench.base.name)
    results += bench.over_base("FID", FD, distances) + bench.over_base("", ADHERENCE, shares)
    return Outcome(results, {FD: "lower", ADHERENCE: "higher"})


def _judged(bench: Bench, one: Contender, held: Captioned) -> Judged:
    """Return what the judges see in one model's samples of captions, from the rows there are."""

    def measure(jobs: Sequence[int]) -> list[Row]:
        captions, label = held.at(jobs).captions, f"quality, {one.name}"
        images = draw_samples(one.bundle, captions, one.sampling, bench.cmd.seed, label, jobs)
        seen = bench.judges.judge(images, captions)
        told, none = seen.adherence, np.zeros(len(captions))  # of captions that state nothing
        counts = zip(
            *((told.hits, told.stated) if told else (none, none)),
            strict=True,
        )
        return [
            {"features": packed(features), "hits": float(hits), "stated": float(stated)}
            for features, (hits, stated) in zip(seen.features, counts, strict=True)
        ]

    about = {"classifier": str(bench.cmd.classifier), "data": held.origin.digest()}
    rows = bench.jobs("quality", one, len(held), measure, about)
    hits, stated = (np.array([row[key] for row in rows], float) for key in ("hits", "stated"))
    found = Adherence(hits=hits, stated=stated, by_attribute={}) if stated.any() else None
    features = unpacked([{"features": str(row["features"])} for row in rows], "features")
    return Judged(features=features, adherence=found)


def edit(bench: Bench) -> Outcome:
    """Edits by text: is the wanted attribute there, are the others kept (`eval-edit`)."""
    cmd = bench.cmd
    wanted = EvalEdit(
        **bench.shared(),  # type: ignore[arg-type]
        n_images=cmd.n_edits,
        methods=(EDIT,),
        classifier=cmd.classifier,
    )
    eyes = Eyes(
        read=bench.judges.classifier.read,
        distance=load_lpips().distance,
        judge=load_judge(wanted.judge),
    )
    faces = _faces(bench, eyes)
    seen: dict[tuple[str, str], Seen] = {
        (one.name, EDIT): _edited(bench, wanted, one, faces, eyes) for one in bench.contenders
    }
    results = [
        replace(one, metric=one.metric.replace(f"{EDIT}: ", f"{SHOWN}: "))
        for one in all_results(wanted, list(bench.contenders), seen)
    ]
    base = seen[bench.base.name, EDIT]
    for metric, share in SHARES.items():
        ratios = {
            name: share_ratio(share(one), share(base))
            for (name, _), one in seen.items()
            if one is not base and is_enough(share(base))
        }
        results += bench.over_base("", metric, ratios)
    return Outcome(results, dict.fromkeys(SHARES, "higher"))


def is_enough(share: Values) -> bool:
    """Whether a mean of shares (n,) can be divided by: next to no resample of 5 hits has none."""
    return bool(np.count_nonzero(share) >= min(HITS, len(share)))


def share_ratio(mine: Values, theirs: Values) -> Estimate:
    """Return the ratio of the means of two models' shares (n,) on the same edits."""
    return function_of_means(lambda a, b: a / np.maximum(b, TINY), mine, theirs)


def _edited(bench: Bench, cmd: EvalEdit, one: Contender, faces: Faces, eyes: Eyes) -> Seen:
    """Return what became of one model's edits, from the rows that there are."""
    measure = partial(Edits(cmd, one, faces, eyes).rows, EDIT, cmd)
    judge = {"classifier": str(cmd.classifier), "judge": eyes.judge.name}
    about = {**judge, "data": faces.data, "refine": cmd.refine}
    return seen_of(bench.jobs("edit", one, len(faces.changes), measure, about))


def _faces(bench: Bench, eyes: Eyes) -> Faces:
    """Return what is edited: the first held-out images."""
    cmd, held, train = bench.cmd, bench.first("n_edits"), captioned(bench.cmd.data, "train")
    return faces_of(held, train, eyes, bench.base.bundle.config.sampling.size, cmd.seed)
