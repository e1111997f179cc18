"""The intervals of semantic editing as a file: distances along the inversion of some images.

Asyrp (arXiv 2210.10960), Sec. 4: LPIPS(x, P_t) says where an edit may end, LPIPS(x, x_t) where
boosting may begin.
`latentgeo eval-intervals` measures them; `edit-semantic` and `train-asyrp` read them.

Time       the paper's t, ascending
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from latentgeo.core import asyrp
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Mean distances at ascending times, and what they are of."""

    times: tuple[int, ...]
    strength: tuple[float, ...]  # LPIPS(x, P_t), whose fall from T is ξ_t
    deficiency: tuple[float, ...]  # γ_t = LPIPS(x, x_t)
    boost: float  # the γ_t that boosting takes; the paper's 1.2 is of 256 × 256 images
    settings: Mapping[str, object]  # model, weights, images, seed, …

    def t_edit(self, similarity: float) -> int:
        """Return t_edit of two texts by the cosine of their embeddings.

        Asyrp Sec. 4.1   LPIPS(x, P_t_edit) = 0.33 - δ

        Distances that do not rise with t are cut at the first crossing, as `asyrp.t_edit` says.
        """
        return asyrp.t_edit(self.times, self.strength, asyrp.edit_threshold(1 - similarity))

    def t_boost(self) -> int:
        """Return t_boost, or 0 (no boosting) where no x_t is as far from x as it takes.

        Asyrp Sec. 4.2   γ_t_boost = 1.2

        Small images may never be: boosting from T on, all of the way, would draw another image.
        """
        if max(self.deficiency) < self.boost:
            return 0
        return asyrp.t_boost(self.times, self.deficiency, self.boost)


def write_intervals(path: Path, found: Intervals) -> Path:
    """Write the distances as JSON, atomically."""
    return atomic_write(path, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")


def read_intervals(path: Path) -> Intervals:
    """Return what `write_intervals` wrote; FileNotFoundError or ValueError name the file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"intervals: {path} is not there; latentgeo eval-intervals makes it"
        )
    try:
        content = json.loads(read_text(path))
        columns = {k: tuple(content[k]) for k in ("times", "strength", "deficiency")}
        boost, settings = float(content["boost"]), dict(content["settings"])
        found = Intervals(**columns, boost=boost, settings=settings)
        sizes = {len(column) for column in columns.values()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a file of latentgeo eval-intervals: {error}") from None
    if sizes != {len(found.times)} or not found.times:
        raise ValueError(f"{path}: wanted as many distances as times, got {sorted(sizes)}")
    return found
