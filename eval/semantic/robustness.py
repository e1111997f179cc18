"""Robustness: what noise in h does to images, beside noise in ε of the same share of its norm.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 5.3, App. D.2, Figs. 9 and 13. The noise is drawn
anew at every t of the editing interval and enters P_t alone. LPIPS to the unperturbed image counts
what changes; the distance to the nearest real face, what is no face any more.
"""

from collections.abc import Sequence
from dataclasses import replace

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.looks import MEANS, NEAREST, column, estimates, looks_of, prefixed
from latentgeo.eval.semantic.shifts import relative, relative_eps, variance_kept
from latentgeo.eval.semantic.subject import Edit, Subject

KEPT = ", variance kept"
SHOWN = (MEANS["lpips"], NEAREST)


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image with noise of every level in h and in ε.

    Asyrp Sec. D.2b   with `keep_variance` also where ε + z is divided by √(1 + σ²)
    """
    exact = replace(one.attribute, S=subject.steps)  # levels are of h, whatever S was
    within, rows = replace(one, attribute=exact), [Row() for _ in jobs]
    for level in subject.levels:
        h = relative(subject.draw(jobs, "h"), level)
        eps = relative_eps(subject.draw(jobs, "eps"), level)
        made = {
            f"Δh of {level:g} ‖h‖": subject.edited(within, jobs, direction=h),
            f"Δε of {level:g} ‖ε‖": subject.eps_edited(one, jobs, eps),
        }
        if subject.keep_variance:
            kept = variance_kept(subject.draw(jobs, "eps"), level)
            made[f"Δε of {level:g} ‖ε‖{KEPT}"] = subject.eps_edited(one, jobs, kept)
        for name, images in made.items():
            looks = subject.looks(one, jobs, subject.read(images))
            for row, look in zip(rows, looks, strict=True):
                row[name] = look
    return rows


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return what noise of every level does in both spaces, and how much more it is in ε."""
    found: dict[str, Estimate] = {}
    names = [name for name in rows[0] if name.startswith("Δ")]
    for name in names:
        every = estimates(looks_of(rows, name))
        found |= prefixed(name, {key: every[key] for key in SHOWN})
    plain = [name for name in names if not name.endswith(KEPT)]
    for in_h, in_eps in zip(plain[::2], plain[1::2], strict=True):
        more = column(looks_of(rows, in_eps), "lpips") - column(looks_of(rows, in_h), "lpips")
        found[f"{in_eps}: LPIPS, minus that of {in_h}"] = mean_interval(more)
    return found
