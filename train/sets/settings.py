"""The settings of the commands that make data sets."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class RenderAvatars:
    """Render the embedded set's faces anew, with captions and exact attributes."""

    out: Path = output(
        "folder, or a .zip file, for the faces; a .zip has its second half held out as `test`",
        ".zip",
    )
    count: int = option(4000, "how many faces")
    seed: int = option(0, "seed of the faces; face i depends on the seed and i alone")
    size: int = option(64, "side of the square images in pixels")
    workers: int = option(1, "processes that render at the same time")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count", "workers")
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class RenderMasks:
    """Render the exact part masks of the faces that render-avatars draws."""

    out: Path = output(
        "folder for the masks, 000000.png and so on; a pixel's value is its part's number"
    )
    count: int = option(4000, "how many faces")
    first: int = option(0, "number of the first face")
    seed: int = option(0, "seed of the faces")
    size: int = option(64, "side of the square masks in pixels")
    workers: int = option(1, "processes that render at the same time")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count", "workers")
        at_least(self, 0, "first")
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class RenderPairs:
    """Render pairs of faces that differ in one attribute alone, to measure a judge with."""

    out: Path = output("folder for the images, and for pairs.jsonl with their texts")
    count: int = option(100, "how many pairs of each of the five changes")
    seed: int = option(0, "seed of the faces")
    size: int = option(64, "side of the square images in pixels")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count")
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class EmojiFolder:
    """Turn the Noto emoji into a folder of captioned images."""

    from_: Path = required(
        "folder of the unpacked npm package emoji-datasource-google, or of emoji64", was="source"
    )
    out: Path = output("folder for the PNG files, metadata.jsonl and the artwork's notice")
    size: int = option(64, "side of the images in pixels")
    every: int = option(1, "keep one emoji of so many, spread over all categories")
    limit: int | None = option(None, "stop after so many emoji")
    tones: bool = option(False, "add the five skin tones where the package draws them")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "size", "every", "limit")
