"""Steps: a direction learned in S steps, used in S̃ with S/S̃ Δh_t.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 3.4, App. F, Fig. 17: the same amount of change,
and better images with more steps. Every S̃ is measured beside its own reconstruction, and all start
at the same x_T.
"""

from collections.abc import Sequence

from latentgeo.eval.runs.rows import Row
from latentgeo.eval.runs.statistics import Estimate, mean_interval
from latentgeo.eval.semantic.looks import column, compare, estimates, looks_of, prefixed
from latentgeo.eval.semantic.subject import Edit, Subject


def measure(subject: Subject, one: Edit, jobs: Sequence[int]) -> list[Row]:
    """Return looks at every image edited in every S̃, and how far that is from S̃ as elsewhere.

    Asyrp Sec. F   Δh̃ = S/S̃ Δh in S̃ steps changes an attribute by as much
    """
    rows = [Row() for _ in jobs]
    usual = subject.own(one, jobs)
    for steps in sorted({*subject.lengths, subject.steps}):
        after = usual
        if steps != subject.steps:
            after = subject.read(subject.edited(one, jobs, steps=steps))
        looks = subject.looks(one, jobs, after, steps)
        apart = compare(subject.readers, one.wanted, one.texts, usual, after)
        for row, look, other in zip(rows, looks, apart, strict=True):
            gain = look["score"] - look["score_before"]
            row[f"S̃ = {steps}"] = look | {"apart": other["lpips"], "gain": gain}
    return rows


def of_rows(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return the numbers of every S̃, by name."""
    found: dict[str, Estimate] = {}
    for name in [name for name in rows[0] if name.startswith("S̃")]:
        looks = looks_of(rows, name)
        every = estimates(looks)
        every["gain in log odds of the wanted"] = mean_interval(column(looks, "gain"))
        if column(looks, "apart").any():  # 0 of the usual one itself
            every["LPIPS to the usual S̃"] = mean_interval(column(looks, "apart"))
        found |= prefixed(name, every)
    return found
