"""Layers: an edit learned elsewhere than in h, what it does, and whether to all images the same.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), App. D.3, Figs. 14 and 15, and Fig. 6 for ε. Files that
were trained at different layers, with one budget, are the edits; each says its layer. An image is
edited by its own shift and by that of its donor; of a table both are the same.
"""

from collections.abc import Sequence

import torch.nn.functional as F

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.looks import (
    KEPT,
    MEANS,
    NEAREST,
    SUCCESS,
    column,
    estimates,
    looks_of,
    prefixed,
)
from latentgeo.eval.semantic.shifts import donated
from latentgeo.eval.semantic.subject import Edit, Subject
from latentgeo.infer.semantic.layers import place_of

LABELS = {"own": "own shift", "other": "shift of another"}
SHOWN = (SUCCESS, KEPT, MEANS["S_dir"], MEANS["lpips"], NEAREST)
ALIKE = "one shift on two images, cosine of ΔI"


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image by its own shift and a donor's, and how alike two images change.

    Asyrp Sec. D.3   f_t trained on the other layers
    """
    donors, count = [job + 1 for job in jobs], len(jobs)
    shared = donated(one.attribute.direction)
    made = subject.edited(one, [*donors, *jobs], direction=shared)
    theirs, after = subject.read(made[:count]), subject.read(made[count:])
    looks = {
        "own": subject.looks(one, jobs, subject.own(one, jobs)),
        "other": subject.looks(one, jobs, after),
    }
    mine = after.embedding - subject.plain(one, jobs).embedding
    given = theirs.embedding - subject.plain(one, donors).embedding
    alike = F.cosine_similarity(mine, given, dim=1)
    number, total = place_of(subject.model, one.attribute.layer)
    layer = f"{one.attribute.layer}, layer {number} of {total}"
    return [
        {"layer": layer, "alike": float(alike[i])} | {name: each[i] for name, each in looks.items()}
        for i in range(count)
    ]


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return success, what is kept, S_dir and LPIPS by both shifts, and how alike, by name."""
    found = {ALIKE: mean_interval(column(rows, "alike"))}
    for name, label in LABELS.items():
        every = estimates(looks_of(rows, name))
        found |= prefixed(label, {key: every[key] for key in SHOWN if key in every})
    return prefixed(str(rows[0]["layer"]), found)
