"""The intervals of semantic editing as a file: distances along the inversion of some images.

Asyrp (arXiv 2210.10960), Sec. 4: LPIPS(x, P_t) says where an edit may end, LPIPS(x, x_t) where
boosting may begin.
`latentgeo eval-intervals` measures them; `edit-semantic` and `train-asyrp` read them.

Rules      of t_edit, by name: "first", the first time as far from x as the threshold, which the
           released code takes and the paper's Table 2 has; "shortest", the last as near, which the
           paper's text asks for. Where distances rise they are neighbours on the grid
Time       the paper's t, ascending
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core import asyrp
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text

Rule = Literal["first", "shortest"]
RULES: dict[str, Callable[[Sequence[int], Sequence[float], float], int]] = {
    "first": asyrp.t_edit,
    "shortest": asyrp.t_edit_shortest,
}


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Mean distances at ascending times, and what they are of."""

    times: tuple[int, ...]
    strength: tuple[float, ...]  # LPIPS(x, P_t), whose fall from T is ξ_t
    deficiency: tuple[float, ...]  # γ_t = LPIPS(x, x_t)
    boost: float  # the γ_t that boosting takes; the paper's 1.2 is of 256 × 256 images
    rule: Rule = "first"  # of t_edit
    settings: Mapping[str, object]  # model, weights, images, seed, …

    def t_edit(self, similarity: float) -> int:
        """Return t_edit of two texts by the cosine of their embeddings.

        Asyrp Sec. 4.1   LPIPS(x, P_t_edit) = 0.33 - δ, by the rule of these intervals
        """
        threshold = asyrp.edit_threshold(1 - similarity)
        return RULES[self.rule](self.times, self.strength, threshold)

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
            f"intervals: no such file: {path}; latentgeo eval-intervals makes one"
        )
    try:
        content = json.loads(read_text(path))
        columns = {k: tuple(content[k]) for k in ("times", "strength", "deficiency")}
        boost, settings = float(content["boost"]), dict(content["settings"])
        rule = content.get("rule", "first")  # files of before the rules have the measurements alone
        found = Intervals(**columns, boost=boost, rule=rule, settings=settings)
        sizes = {len(column) for column in columns.values()}
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is no file that latentgeo eval-intervals wrote") from None
    if rule not in RULES:
        raise ValueError(f"{path}: rule: got {rule!r}, wanted {' or '.join(RULES)}")
    if sizes != {len(found.times)} or not found.times:
        raise ValueError(f"{path}: wanted as many distances as times, got {sorted(sizes)}")
    return found
