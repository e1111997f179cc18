"""Settings become a line, and the line the same settings again."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from latentgeo.core.run.cli import option, output, parse, required, word
from latentgeo.eval.studio.service.typed import as_line


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Paint."""

    file: Path = word("what")
    colours: tuple[str, ...] = required("which")
    out: Path | None = output("where", default=None)
    weights: tuple[float, ...] = option((1.0,), "how much")
    title: str = option("", "title")
    limit: int | None = option(3, "at most")
    kind: Literal["oil", "ink"] = option("oil", "of what")
    dry: bool = option(True, "wait")
    from_: str = option("", "from where")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "weights": (-0.5, 1e-7, -1.0),
            "limit": None,
            "dry": False,
            "from_": "behind",
            "kind": "ink",
        },
        {"title": "-x", "out": Path("a b/c"), "limit": -2},
        {"title": "it's $HOME", "limit": 3},
    ],
)
def test_a_line_is_read_back_to_equal_settings(more):
    settings = Paint(file=Path("wall.png"), colours=("light red", "blue"), **more)
    latentgeo, name, *words = shlex.split(as_line(settings))
    assert (latentgeo, name) == ("latentgeo", "paint")
    assert parse(Paint, words) == settings
    assert len(words) <= 4 or more  # what is at its default is not there


@pytest.mark.parametrize("more", [{"weights": ()}, {"colours": ("-red",)}])
def test_what_cannot_be_typed_is_said(more):
    settings = Paint(**{"file": Path("wall.png"), "colours": ("red",), **more})
    with pytest.raises(ValueError, match="paint: got settings that cannot be typed"):
        as_line(settings)
