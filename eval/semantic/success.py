"""Whether edits make what is wanted, and leave the rest: Asyrp's Tables 4 and 5, and more.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.2 and App. K.2.
"""

import warnings
from collections.abc import Sequence

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.looks import SUCCESS, column, estimates, looks_of
from latentgeo.eval.semantic.subject import Edit, Subject
from latentgeo.infer.pictures.closeness import psnr

EXACT = {"psnr": "reconstruction, PSNR", "lost": "reconstruction, LPIPS"}


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return a look at every image, and how near its reconstruction (Δh = 0) is to it."""
    looks = subject.looks(one, jobs, subject.own(one, jobs))
    originals, made = subject.images[list(jobs)], subject.plain(one, jobs).images
    device = subject.model.device
    lost = subject.readers.lpips.distance(originals.to(device), made.to(device)).cpu()
    exact = psnr(originals, made)
    return [
        {"look": look, "psnr": float(exact[i]), "lost": float(lost[i])}
        for i, look in enumerate(looks)
    ]


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return success, what is kept, S_dir, segmentation consistency and reconstruction, by name."""
    found = estimates(looks_of(rows, "look"))
    if SUCCESS not in found:
        warnings.warn(
            f"all {len(rows)} images have what is wanted before the edit: no success to measure",
            stacklevel=2,
        )
    return found | {label: mean_interval(column(rows, name)) for name, label in EXACT.items()}
