"""The settings of `eval-transport`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option
from latentgeo.core.run.limits import at_least
from latentgeo.eval.runs.settings import Evaluation
from latentgeo.infer.walks.settings import Coupling


@dataclass(frozen=True, kw_only=True)
class EvalTransport(Evaluation):
    """Compare couplings of prompts on the same walks; started again, it goes on."""

    models: tuple[str, ...] = option(
        ("avatars",), "models to walk with: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    pairs: int = option(200, "pairs of prompts, spread over five levels of similarity")
    limit: int | None = option(
        None,
        "walk only so many of the pairs, the first of each level; unset: all",
        was="first",
    )
    noises: int = option(1, "noises per pair")
    prompt_file: Path | None = option(
        None, "text file of prompts, one on each line; unset: the held-out captions"
    )
    n_prompts: int | None = option(
        None,
        "how many prompts, drawn by the seed, pairs are chosen from; unset: four per pair",
        was="prompts",
    )
    couplings: tuple[Coupling, ...] = option(
        ("index", "optimal", "random", "partial"), "couplings to compare, the first is the base"
    )
    frames: int = option(11, "images per walk, both ends included")

    def __post_init__(self) -> None:
        """Refuse what no comparison could be of."""
        super().__post_init__()
        at_least(self, 5, "pairs")
        at_least(self, 1, "noises")
        at_least(self, 3, "frames")
        if self.limit is not None and not 1 <= self.limit <= self.pairs:
            raise ValueError(f"limit must lie in 1 to --pairs {self.pairs}, got {self.limit}")
        if self.n_prompts is not None and self.n_prompts < 2 * self.pairs:
            raise ValueError(
                f"n_prompts must be at least {2 * self.pairs}, 2 per pair, got {self.n_prompts}"
            )
        if len(self.couplings) < 2 or len(set(self.couplings)) != len(self.couplings):
            raise ValueError(
                f"couplings: got {list(self.couplings)}, wanted two or more, each once"
            )
