"""A white page to draw on with Pillow: smooth lines, text, and boxes with axes.

Everything is drawn three times as large and scaled down, which smooths lines and letters. Places
and sizes are in pixels of the finished picture, x to the right and y down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from latentgeo.infer.pictures.images import INK, PAPER

Point = tuple[float, float]
Colour = tuple[int, int, int]
ZOOM = 3  # of the drawing over the finished picture
SOFT: Colour = (150, 150, 156)


class Canvas:
    """A page of the given width and height."""

    def __init__(self, width: int, height: int) -> None:
        self.page = Image.new("RGB", (width * ZOOM, height * ZOOM), PAPER)
        self.draw = ImageDraw.Draw(self.page)

    def line(self, points: Sequence[Point], colour: Colour = INK, width: float = 1.0) -> None:
        """Draw a line through the points."""
        self.draw.line(_zoomed(points), colour, max(1, round(width * ZOOM)), joint="curve")

    def polygon(self, points: Sequence[Point], fill: Colour, edge: Colour | None = None) -> None:
        """Fill the outline through the points."""
        self.draw.polygon(_zoomed(points), fill, edge, ZOOM)

    def dot(self, place: Point, colour: Colour, radius: float = 2.5) -> None:
        """Draw a filled circle."""
        x, y = place
        self.draw.ellipse(
            _zoomed([(x - radius, y - radius), (x + radius, y + radius)]), fill=colour
        )

    def text(
        self, place: Point, text: str, size: float = 12, anchor: str = "la", colour: Colour = INK
    ) -> None:
        """Write lines of text; `anchor` is Pillow's: l, m or r, then a, m or d."""
        font = ImageFont.load_default(size * ZOOM)
        x, y = _zoomed([place])[0]
        for i, row in enumerate(text.split("\n")):
            self.draw.text((x, y + i * 1.3 * size * ZOOM), row, colour, font, anchor)

    def picture(self) -> Image.Image:
        """Return the page at its own size."""
        size = (self.page.width // ZOOM, self.page.height // ZOOM)
        return self.page.resize(size, Image.Resampling.LANCZOS)


@dataclass(frozen=True, kw_only=True)
class Axes:
    """A box of the page with a horizontal and a vertical axis; `log` makes both logarithmic."""

    canvas: Canvas
    box: tuple[float, float, float, float]  # left, top, right, bottom
    x: tuple[float, float]  # least and largest value
    y: tuple[float, float]
    log_x: bool = False
    log_y: bool = False

    def at(self, x: float, y: float) -> Point:
        """Return where (x, y) is on the page."""
        left, top, right, bottom = self.box
        across, up = _share(x, self.x, self.log_x), _share(y, self.y, self.log_y)
        return left + across * (right - left), bottom - up * (bottom - top)

    def frame(
        self, x_ticks: Sequence[float], y_ticks: Sequence[float], title: str, x_label: str
    ) -> None:
        """Draw the grid lines of the ticks, their numbers, the title and the name of x."""
        left, top, right, bottom = self.box
        for value in x_ticks:
            x, _ = self.at(value, self.y[0])
            self.canvas.line([(x, top), (x, bottom)], (228, 228, 232))
            self.canvas.text((x, bottom + 6), f"{value:g}", 11, "ma")
        for value in y_ticks:
            _, y = self.at(self.x[0], value)
            self.canvas.line([(left, y), (right, y)], (228, 228, 232))
            self.canvas.text((left - 6, y), f"{value:g}", 11, "rm")
        self.canvas.line([(left, top), (left, bottom), (right, bottom)], INK)
        self.canvas.text((left, top - 24), title, 13)
        self.canvas.text(((left + right) / 2, bottom + 24), x_label, 11, "ma", SOFT)

    def curve(
        self, points: Sequence[Point], colour: Colour, width: float = 1.6, dots: bool = False
    ) -> None:
        """Draw a line through values (x, y), within the box."""
        low, high = self.y
        places = [self.at(x, min(max(y, low), high)) for x, y in points]
        self.canvas.line(places, colour, width)
        for place in places if dots else []:
            self.canvas.dot(place, colour)


def _share(value: float, ends: Point, log: bool) -> float:
    low, high = ends
    if log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _zoomed(points: Sequence[Point]) -> list[Point]:
    return [(x * ZOOM, y * ZOOM) for x, y in points]
