"""The settings of `learn`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output, word
from latentgeo.core.run.limits import positive

MODES = ("check", "check_all", "hint", "solution")


@dataclass(frozen=True, kw_only=True)
class Learn:
    """Work through the course: list it, write a chapter's exercises, and check the answers.

    Without more it lists chapters and exercises, and what is solved.
    """

    what: str | None = word(
        "a chapter by name or number; with --check a folder or file of answers; with --check-all a "
        "folder of students' folders; with --hint or --solution an exercise",
        None,
    )
    out: Path | None = output(
        "folder for the chapter's text and exercise.py, which answers go in", default=None
    )
    check: bool = option(
        False,
        "run the tests behind the exercises; print each verdict and what a mistake looks like",
    )
    only: tuple[str, ...] = option((), "exercises to check; unset: all that the file has")
    hint: bool = option(False, "print what to think of in an exercise")
    solution: bool = option(False, "print how the package does an exercise")
    check_all: bool = option(False, "check the answers of a class, each student's behind a fence")
    csv: Path | None = output("file of the class's marks", ".csv", default=None)
    course: Path = option(
        Path("my-course"),
        "folder with a folder per chapter, which the list reads what is solved of",
    )
    seconds: float = option(60.0, "seconds of the processor that checking an exercise may take")
    memory: float = option(4.0, "GiB of memory that checking an exercise may take")

    def __post_init__(self) -> None:
        """Refuse several things at once, and a thing without its word."""
        positive(self, "seconds", "memory")
        given = [name for name in MODES if getattr(self, name)]
        if len(given) + (self.out is not None) > 1:
            wanted = f"one of out, {', '.join(MODES)}".replace("_", "-")
            raise ValueError(
                f"what: got {len(given) + (self.out is not None)} things to do with "
                f"it, wanted {wanted}"
            )
        if (given or self.out) and self.what is None:
            raise ValueError("what: got nothing, wanted a chapter, a folder or an exercise")
        if self.csv is not None and not self.check_all:
            raise ValueError("csv: got a file of marks, wanted --check-all with it")
