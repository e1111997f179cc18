"""Caption adherence: the share of the attributes a caption states that its image shows.

A caption of the avatars states some attributes exactly (`models/judges/captions.py`); the
classifier of `models/judges/classifier.py` reads them off the image. The classifier errs too, so
the same share on real images under their own captions is the ceiling, and is reported beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentgeo.eval.runs.statistics import Estimate, function_of_means, proportion_interval

Attributes = Mapping[str, str]
TINY = 1e-9  # what a number of hits is divided by at least


@dataclass(frozen=True, kw_only=True)
class Adherence:
    """Hits and statements of N images, in total and by attribute."""

    hits: NDArray[np.float64]  # (N,) stated attributes that the image shows
    stated: NDArray[np.float64]  # (N,) attributes that its caption states
    by_attribute: Mapping[str, tuple[int, int]]  # hits and statements of each attribute

    @property
    def overall(self) -> Estimate:
        """Hits over statements, with an interval that resamples whole images."""
        told = self.stated > 0
        return function_of_means(np.divide, self.hits[told], self.stated[told])

    @property
    def per_attribute(self) -> dict[str, Estimate]:
        """Hits over statements of each attribute, with Wilson's interval."""
        return {name: proportion_interval(*counts) for name, counts in self.by_attribute.items()}

    def minus(self, other: "Adherence") -> Estimate:
        """The difference of two models' shares on the same captions, with a paired interval."""
        return function_of_means(lambda a, b, n: (a - b) / n, *self._paired(other))

    def over(self, other: "Adherence") -> Estimate:
        """The ratio of two models' shares on the same captions, with a paired interval."""
        mine, theirs, _ = self._paired(other)
        return function_of_means(lambda a, b: a / np.maximum(b, TINY), mine, theirs)

    def _paired(self, other: "Adherence") -> tuple[NDArray[np.float64], ...]:
        """Both models' hits and the statements of the captions that state something."""
        if not np.array_equal(self.stated, other.stated):
            raise ValueError("other: got other captions, wanted the same for both models")
        told = self.stated > 0
        return self.hits[told], other.hits[told], self.stated[told]


def adherence(stated: Sequence[Attributes], shown: Sequence[Attributes]) -> Adherence:
    """Compare what N captions state with what their images show.

    A caption that states nothing counts for nothing. ValueError if none states anything, or if one
    states an attribute that the images' reader does not know.
    """
    if len(stated) != len(shown):
        raise ValueError(f"shown: got {len(shown)} for {len(stated)} captions, wanted one each")
    told = {name for said in stated for name in said}
    if not told:
        raise ValueError("captions: none states an attribute of the avatars' grammar")
    if unknown := sorted(told - set(shown[0])):
        raise ValueError(f"the classifier does not know the attribute {unknown[0]!r}")
    names = [name for name in shown[0] if name in told]
    right = [
        {name: seen[name] == value for name, value in said.items()}
        for said, seen in zip(stated, shown, strict=True)
    ]
    return Adherence(
        hits=np.array([sum(row.values()) for row in right], dtype=np.float64),
        stated=np.array([len(row) for row in right], dtype=np.float64),
        by_attribute={
            name: (sum(row.get(name, False) for row in right), sum(name in row for row in right))
            for name in names
        },
    )
