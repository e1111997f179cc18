"""The settings of `zoo`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output
from latentgeo.core.run.limits import positive


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """Make the embedded models from nothing, and measure them: one chain of commands.

    A step whose result stands, with the recipe and the inputs that it was made of, is not done
    again: after a stop the same command goes on, after a change of a recipe it does what depends
    on it. Each step has its folder in --out, and its output in logs.
    """

    out: Path = output("folder of the chain: a folder for each step, logs and report.html")
    chain: str = option("embedded", "chain of steps: embedded, gpu, or a TOML file of such")
    only: tuple[str, ...] = option((), "do these parts or steps alone; unset: all")
    from_: str | None = option(None, "begin at this part or step; unset: at the first")
    minutes: float | None = option(
        None, "minutes that the chain is to take: trainings get so many more, or fewer, steps"
    )
    piece: float | None = option(
        None, "end, resumable, when this call has taken so many minutes; unset: at the last step"
    )
    embedded: bool = option(
        False, "measure the models in the package, in the place of those that the chain makes"
    )
    pages: Path | None = option(
        None,
        "source tree whose pages get the numbers, with --embedded; unset: none is changed",
    )
    plan: bool = option(False, "print what would be done, and how long it takes, and end")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        positive(self, "minutes", "piece")
        if self.pages is not None and not self.embedded:
            raise ValueError("pages: got a tree without --embedded, whose numbers its pages quote")
