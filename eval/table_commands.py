"""The command that measures a paper's tables; importing it imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.cli import option, word
from latentgeo.core.limits import at_least
from latentgeo.eval.commands import Evaluation


@dataclass(frozen=True, kw_only=True)
class EvalTables(Evaluation):
    """Measure a paper's tables; started again on its folder, it goes on.

    The first model is the base, the second its smoothed twin.
    """

    paper: Literal["smooth"] = word("whose tables: smooth")
    tables: tuple[Literal["1", "2", "3", "4"], ...] = option(("1", "2", "3", "4"), "which of them")
    ratios: tuple[str, ...] = option(
        (), "table 3: λ=MODEL for each λ; the adapters beside the first model if unset"
    )
    ranks: tuple[str, ...] = option(
        (), "table 4: RANK=MODEL for each rank, full=MODEL; those beside the first model if unset"
    )
    prompts: int = option(500, "walks for ISTD of each model")
    images: int = option(500, "samples, and held-out images, of each model")
    inverted: int = option(200, "table 2: images inverted by DDIM")
    fitted: int = option(32, "table 2: images inverted by null-text inversion, which takes longer")
    inner: int = option(10, "table 2: updates of each null text at most")
    clip: Path | None = option(None, "file or folder of CLIP: adds CLIP score")
    inception: Path | None = option(None, "file of FID's Inception: adds FID")
    classifier: Path | None = option(None, "attribute classifier; the embedded one if unset")

    def __post_init__(self) -> None:
        """Refuse what no table could be made of."""
        super().__post_init__()
        if len(self.models) != 2:
            raise ValueError(f"models: got {list(self.models)}, wanted a base and its smooth twin")
        if not self.tables or len(set(self.tables)) != len(self.tables):
            raise ValueError(f"tables: got {list(self.tables)}, wanted some of 1 2 3 4, each once")
        at_least(self, 2, "prompts", "inverted", "fitted")
        at_least(self, 10, "images")
        at_least(self, 1, "inner")
        for name in ("ratios", "ranks"):
            for given in getattr(self, name):
                if not all(given.partition("=")[::2]):
                    raise ValueError(f"{name}: got {given!r}, wanted VALUE=MODEL")

    def run(self) -> None:
        """Measure, write tables.md and results.json, print the tables."""
        from latentgeo.eval.tables import evaluate_tables

        evaluate_tables(self)
