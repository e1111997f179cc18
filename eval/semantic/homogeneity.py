"""Homogeneity: does the shift found on one image do to others what their own would do?

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.3 and Fig. 6. An image gets Δh_t = f_t(h_t) of a
donor, taken at every t on the donor's own way down; and, to compare, the donor's Δε_t in ε. That
Δε_t is what Δh_t does to ε, unless the edit was learned in ε: then it is its own. The figure's,
optimized for one image alone, are tables of `train-asyrp --n-images 1`. Of an edit at another
layer, h is what that layer has.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.looks import (
    NEAREST,
    SUCCESS,
    Reading,
    column,
    estimates,
    looks_of,
    prefixed,
)
from latentgeo.eval.semantic.shifts import donated, donated_eps, own_shift
from latentgeo.eval.semantic.subject import Edit, Subject
from latentgeo.infer.semantic.layers import EPS

LABELS = {"h": "Δh of another", "eps": "Δε of another"}
SHOWN = (SUCCESS, "LPIPS to the unedited", NEAREST)
COSINES = {"attributes": "cosine of the changes of scores", "judge": "cosine of ΔI"}


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image with another's shifts, and how like its own edit they are."""
    plain, own = subject.plain(one, jobs), subject.own(one, jobs)
    pairs = [*(job + 1 for job in jobs), *jobs]
    made = shared(subject, one, pairs)
    rows: list[Row] = [{} for _ in jobs]
    for name, images in made.items():
        after = subject.read(images[len(jobs) :])
        looks, alike = subject.looks(one, jobs, after), cosines(plain, own, after)
        for i, row in enumerate(rows):
            row[name] = looks[i] | {key: float(value[i]) for key, value in alike.items()}
    return rows


def shared(subject: Subject, one: Edit, pairs: Sequence[int]) -> dict[str, Tensor]:
    """Return donors and others (2 B, 3, H, W) by the donors' Δh_t and by their Δε_t.

    Asyrp Sec. 3.2   an edit that was learned in ε has a Δε_t, and no Δh_t
    """
    within = subject.edited(one, pairs, direction=donated(one.attribute.direction))
    if one.attribute.layer == EPS:
        return {"eps": within}
    found = donated_eps(own_shift(subject.model, one.attribute, subject.steps))
    return {"h": within, "eps": subject.eps_edited(one, pairs, found)}


def cosines(plain: Reading, own: Reading, other: Reading) -> dict[str, Tensor]:
    """Return how alike (N,) two edits change the attributes' scores, and the judge's embedding.

    Asyrp Sec. 5.3b   the same Δh leads to the same effect: cos(Δ_own, Δ_other)
    """
    before, mine, theirs = (scores(one) for one in (plain, own, other))
    seen = own.embedding - plain.embedding, other.embedding - plain.embedding
    return {
        "attributes": F.cosine_similarity(mine - before, theirs - before, dim=1),
        "judge": F.cosine_similarity(*seen, dim=1),
    }


def scores(one: Reading) -> Tensor:
    """Return the log probabilities (N, all values) of all attributes."""
    return torch.cat([z.double().log_softmax(1) for z in one.logits.values()], dim=1)


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return what another's shift does, and how like the own it is, by name."""
    found: dict[str, Estimate] = {}
    for name, label in LABELS.items():
        if name not in rows[0]:
            continue
        looks = looks_of(rows, name)
        every = estimates(looks)
        every |= {title: mean_interval(column(looks, key)) for key, title in COSINES.items()}
        kept = {key: value for key, value in every.items() if key in (*SHOWN, *COSINES.values())}
        found |= prefixed(label, kept)
    return found
