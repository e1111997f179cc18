"""The settings of the commands that make data sets."""

from dataclasses import dataclass
from pathlib import Path

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least


@dataclass(frozen=True, kw_only=True)
class RenderAvatars:
    """Render the embedded set's faces anew, with captions and exact attributes."""

    out: Path = output(
        "folder to write, or a .zip, whose second half is held out as `test`", ".zip"
    )
    count: int = option(4000, "faces")
    seed: int = option(0, "seed of the attributes; face i depends on (seed, i) alone")
    size: int = option(64, "side of the square images in pixels")
    workers: int = option(1, "processes that render")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count", "workers")
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class RenderMasks:
    """Render the exact part masks of the faces that render-avatars draws."""

    out: Path = output("folder to write: 000000.png and so on, a pixel is its part's number")
    count: int = option(4000, "faces")
    first: int = option(0, "number of the first face")
    seed: int = option(0, "seed of the faces")
    size: int = option(64, "side of the square masks in pixels")
    workers: int = option(1, "processes that render")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count", "workers")
        at_least(self, 0, "first")
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class RenderPairs:
    """Render pairs of faces that differ in one attribute alone, to measure a judge with."""

    out: Path = output("folder to write: images, and pairs.jsonl with their texts")
    count: int = option(100, "pairs of each of the five changes")
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
        "unpacked npm package emoji-datasource-google, or a folder of emoji64", was="source"
    )
    out: Path = output("folder to write PNG files, metadata.jsonl and the artwork's notice to")
    size: int = option(64, "side of the images in pixels")
    every: int = option(1, "keep one emoji in so many, spread over all categories")
    limit: int | None = option(None, "stop after so many emoji")
    tones: bool = option(False, "add the five skin tones where the package draws them")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "size", "every", "limit")
