"""The settings of `book`."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output


@dataclass(frozen=True, kw_only=True)
class Book:
    """Write the course as web pages; numbers and pictures are computed, or kept from before."""

    out: Path = output("folder for the pages; open its index.html")
    chapter: int | None = option(None, "the number of one chapter; unset: all of them")
    quick: bool = option(False, "a short run of every chapter's script: less than a minute")
    write: bool = option(
        False, "also write numbers, pictures, glossary and index of symbols into the checkout"
    )

    def __post_init__(self) -> None:
        """Refuse to write what a short run finds."""
        if self.quick and self.write:
            raise ValueError("write and quick: got both; the checkout keeps what whole runs find")
