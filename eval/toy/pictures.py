"""The toy's pictures: the sphere's contours in the plane, and what becomes of equal circles.

A latitude keeps its colour from panel to panel. The small circles are equally large on the sphere:
where the map is a scaled isometry they are equally large circles again (Tissot's indicatrix). The
plane is turned, or mirrored, towards the azimuthal projection, and scaled to fit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.local_basis import arc
from latentgeo.eval.page.canvas import SOFT, Canvas, Colour, Point

Encode = Callable[[Tensor], Tensor]
PANEL, MARGIN, TOP, BOTTOM = 250, 12, 44, 56  # pixels
RAMP: tuple[Colour, ...] = ((48, 52, 140), (35, 130, 190), (64, 172, 120), (236, 176, 56))
RAMP = (*RAMP, (205, 70, 50))  # from the south pole to the north pole
RING, MERIDIANS, RADIUS = 15, 12, 5.5  # degrees between rings; lines; degrees of a small circle
CAMERA = math.radians(-28)  # how far above the equator the sphere is seen from


@dataclass(frozen=True, eq=False)
class Panel:
    """A map of the sphere, its title, and lines of text below."""

    title: str
    encode: Encode | None  # None: the sphere itself
    note: str


def maps_picture(panels: Sequence[Panel], gap: float) -> Image.Image:
    """Return the panels side by side: contours above, equal circles below."""
    width = len(panels) * (PANEL + MARGIN) + MARGIN
    canvas = Canvas(width, TOP + 2 * (PANEL + MARGIN) + BOTTOM)
    for i, panel in enumerate(panels):
        left = MARGIN + i * (PANEL + MARGIN)
        middle = left + PANEL / 2
        canvas.text((middle, 12), panel.title, 14, "ma")
        draw_map(canvas, panel.encode, gap, (middle, TOP + PANEL / 2))
        canvas.text((middle, TOP + 2 * (PANEL + MARGIN)), panel.note, 12, "ma", SOFT)
    return canvas.picture()


def draw_map(canvas: Canvas, encode: Encode | None, gap: float, centre: Point) -> None:
    """Draw a map's contours about the centre, and its circles a panel further down."""
    below = (centre[0], centre[1] + PANEL + MARGIN)
    if encode is None:
        for place, parts in ((centre, contours(gap)), (below, meridians(gap))):
            draw_sphere(canvas, parts, place)
        for degrees, middle in circle_centres(gap):
            if seen(middle)[0] > 0.15:
                canvas.polygon(placed(on_screen(small_circle(middle)), below, 1), colour(degrees))
        return
    flat, scale = fitted(encode, gap)
    for theta, points in contours(gap):
        canvas.line(placed(flat(points), centre, scale), colour(theta), 1 if theta is None else 2)
    for _, points in meridians(gap):
        canvas.line(placed(flat(points), below, scale), colour(None))
    for degrees, middle in circle_centres(gap):
        canvas.polygon(placed(flat(small_circle(middle)), below, scale), colour(degrees))


def draw_sphere(
    canvas: Canvas, parts: Sequence[tuple[float | None, Tensor]], centre: Point
) -> None:
    """Draw lines of the sphere, points (N, 3) each, those of its far side pale and first."""
    for near in (False, True):
        for theta, points in parts:
            places, shown = placed(on_screen(points), centre, 1), seen(points) > 0
            tone = colour(theta) if near else pale(colour(theta))
            for i in range(len(places) - 1):
                if bool(shown[i]) == near:
                    canvas.line(places[i : i + 2], tone, 1 if theta is None else 2)


def contours(gap: float) -> list[tuple[float | None, Tensor]]:
    """Return meridians, and rings with their degrees from the south pole, as points (N, 3)."""
    rings = [float(theta) for theta in range(RING, 180, RING) if theta <= 180 - gap]
    turn = torch.linspace(0, 2 * math.pi, 181, dtype=torch.float64)
    return [*meridians(gap), *((theta, at(torch.tensor(theta), turn)) for theta in rings)]


def meridians(gap: float) -> list[tuple[float | None, Tensor]]:
    """Return the lines from the south pole to the gap, as points (N, 3)."""
    theta = torch.linspace(0, 180 - gap, 91, dtype=torch.float64)
    turns = [2 * math.pi * i / MERIDIANS for i in range(MERIDIANS)]
    return [(None, at(theta, torch.tensor(turn).double())) for turn in turns]


def at(theta: Tensor, turn: Tensor) -> Tensor:
    """Return points (N, 3) at θ degrees from the south pole, turned by φ; either may be one."""
    theta, turn = torch.broadcast_tensors(torch.deg2rad(theta.double()), turn)
    return torch.stack([theta.sin() * turn.cos(), theta.sin() * turn.sin(), -theta.cos()], -1)


def circle_centres(gap: float) -> list[tuple[float, Tensor]]:
    """Return degrees from the south pole and points (3,), about evenly far apart."""
    found = [(0.0, at(torch.tensor(0.0), torch.tensor(0.0).double()))]
    step = 4 * RADIUS
    for i in range(1, math.floor((180 - gap - RADIUS) / step) + 1):
        theta = i * step
        count = max(3, round(360 * math.sin(math.radians(theta)) / step))
        turns = [2 * math.pi * (j + i % 2 / 2) / count for j in range(count)]
        found += [(theta, at(torch.tensor(theta), torch.tensor(turn).double())) for turn in turns]
    return found


def small_circle(middle: Tensor) -> Tensor:
    """Return the points (N, 3) that are RADIUS degrees from one (3,)."""
    away = torch.linalg.svd(middle.unsqueeze(0)).Vh[1:]  # (2, 3), orthonormal tangents
    turn = torch.linspace(0, 2 * math.pi, 41, dtype=torch.float64).unsqueeze(1)
    w = math.radians(RADIUS) * (turn.cos() * away[0] + turn.sin() * away[1])
    return arc(middle.expand(len(w), 3), w)


def fitted(encode: Encode, gap: float) -> tuple[Encode, float]:
    """Return the map, turned towards the azimuthal projection about its middle, and pixels per 1.

    A turn or a mirror changes no distance.
    """
    points = torch.cat([points for _, points in contours(gap)])
    with torch.no_grad():
        h = encode(points)
    middle = (h.max(0).values + h.min(0).values) / 2
    theta = (-points[:, 2]).clamp(-1, 1).acos()
    reach = points[:, :2].norm(dim=1).clamp(min=1e-9)
    azimuthal = points[:, :2] * (theta / reach).unsqueeze(1)
    left, _, right = torch.linalg.svd((h - h.mean(0)).T @ (azimuthal - azimuthal.mean(0)))
    turn = left @ right
    turned = (h - middle) @ turn
    middle = middle + ((turned.max(0).values + turned.min(0).values) / 2) @ turn.T
    half = ((h - middle) @ turn).abs().max().item()

    def flat(x: Tensor) -> Tensor:
        with torch.no_grad():
            return (encode(x) - middle) @ turn

    return flat, (PANEL / 2 - 6) / half


def on_screen(points: Tensor) -> Tensor:
    """Return where points (N, 3) of the sphere are seen (N, 2), in pixels, y up."""
    up = points[:, 2] * math.cos(CAMERA) + points[:, 1] * math.sin(CAMERA)
    return (PANEL / 2 - 8) * torch.stack([points[:, 0], up], 1)


def seen(points: Tensor) -> Tensor:
    """Return how far towards the eye points (N, 3) are (N,), negative on the far side."""
    points = points.reshape(-1, 3)
    return points[:, 2] * math.sin(CAMERA) - points[:, 1] * math.cos(CAMERA)


def placed(points: Tensor, centre: Point, scale: float) -> list[Point]:
    """Return points (N, 2), y up, about a place of the page."""
    return [(centre[0] + scale * x, centre[1] - scale * y) for x, y in points.tolist()]


def colour(theta: float | None) -> Colour:
    """Return the colour of a latitude, in degrees from the south pole; grey for a meridian."""
    if theta is None:
        return (178, 178, 186)
    place = theta / 180 * (len(RAMP) - 1)
    i = min(int(place), len(RAMP) - 2)
    return mixed(RAMP[i], RAMP[i + 1], place - i)


def pale(tone: Colour) -> Colour:
    """Return the colour on the far side."""
    return mixed(tone, (255, 255, 255), 0.72)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between two."""
    red, green, blue = (round((1 - share) * x + share * y) for x, y in zip(a, b, strict=True))
    return red, green, blue
