"""What else could edit: a whole model tuned to it, and shifts of other kinds and in other places.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 3.1, 5.2, 5.3, App. D.1 and K.2, Figs. 9 and 13.

whole      DiffusionCLIP: images are noised to t_0 by the frozen model and come down by the tuned
           one; beside them, what the frozen one makes of the same start
both       the edit's own Δh in P_t and in D_t, where Theorem 1 has it cancel
noise      random Δh and Δε as large as the edit's own, in P_t alone; Δε in both, too
"""

from collections.abc import Sequence

import torch

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, function_of_means
from latentgeo.eval.semantic.looks import (
    Look,
    Reading,
    column,
    compare,
    estimates,
    looks_of,
    prefixed,
)
from latentgeo.eval.semantic.shifts import as_large, as_large_eps, own_shift
from latentgeo.eval.semantic.subject import Edit, Rival, Subject
from latentgeo.infer.sampling.unprompted import ImageSampling, denoise_images, images_of
from latentgeo.models.bundles.image_model import ImageModel

LABELS = {
    "whole": "whole model tuned",
    "both": "Δh in P and D",
    "noise_h": "random Δh of its size",
    "noise_eps": "random Δε of its size",
    "noise_eps_both": "random Δε of its size, in P and D",
}
RATIOS = {  # of changes of pixels
    "Δh in P and D: change of pixels, of that by P alone": ("both", "own"),
    "random Δε in P and D: change of pixels, of that by P alone": ("noise_eps_both", "noise_eps"),
}


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image by each rival, and how far each moves its pixels."""
    plain = subject.plain(one, jobs)
    found = {"own": subject.own(one, jobs)} | shifted(subject, one, jobs)
    looks = {name: subject.looks(one, jobs, after) for name, after in found.items()}
    moved = {name: moves(plain, after) for name, after in found.items()}
    if one.name in subject.rivals:
        looks["whole"] = tuned(subject, one, jobs, subject.rivals[one.name])
    return [
        {
            **{name: each[i] for name, each in looks.items()},
            "moved": {name: each[i] for name, each in moved.items()},
        }
        for i in range(len(jobs))
    ]


def shifted(subject: Subject, one: Edit, jobs: Sequence[int]) -> dict[str, Reading]:
    """Return what is read of the images by every other shift.

    Asyrp Thm. 1      the shift in P_t and in D_t
    Asyrp Sec. D.1    random shifts in both
    Asyrp Sec. 5.3    random shifts of the size of the edit's own
    """
    own = own_shift(subject.model, one.attribute, subject.steps)
    h = as_large(one.attribute.direction, subject.draw(jobs, "h"))
    found = {
        "both": subject.edited(one, jobs, both=True),
        "noise_h": subject.edited(one, jobs, direction=h),
    }
    for name, both in (("noise_eps", False), ("noise_eps_both", True)):
        random = as_large_eps(own, subject.draw(jobs, "eps"))
        found[name] = subject.eps_edited(one, jobs, random, both)
    return {name: subject.read(images) for name, images in found.items()}


def tuned(subject: Subject, one: Edit, jobs: Sequence[int], rival: Rival) -> list[Look]:
    """Return looks at what a whole model makes of the images, beside the frozen one's."""
    before, after = (
        subject.read(from_t_0(model, rival, jobs)) for model in (subject.model, rival.model)
    )
    return compare(subject.readers, one.wanted, one.texts, before, after)


def from_t_0(model: ImageModel, rival: Rival, jobs: Sequence[int]) -> torch.Tensor:
    """Return images (B, 3, H, W) that a model makes of where the rival's start."""
    x = rival.x[list(jobs)].to(model.device)
    how = ImageSampling(steps=len(rival.visited) - 1)
    return images_of(model, denoise_images(model, x, how, [0] * len(x), visited=rival.visited))


def moves(before: Reading, after: Reading) -> list[float]:
    """Return the mean |difference| of pixels in [0, 1] of every image."""
    change = (after.images - before.images).abs().flatten(1).double().mean(1) / 2
    return [float(value) for value in change]


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return every rival's numbers, and the ratios of changes, by name."""
    found: dict[str, Estimate] = {}
    for name, label in LABELS.items():
        if name in rows[0]:
            found |= prefixed(label, estimates(looks_of(rows, name)))
    moved = looks_of(rows, "moved")
    for label, (above, below) in RATIOS.items():
        if column(moved, below).all():
            found[label] = function_of_means(
                lambda a, b: a / b, column(moved, above), column(moved, below)
            )
    return found
