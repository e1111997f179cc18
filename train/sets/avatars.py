"""Renders the set `avatars`: cartoon faces with exact attributes and captions that state them.

The drawings are those of the packages `python_avatars` (MIT) and `resvg_py`, an extra of this
project (`pip install latentgeo[data]`). Colours, position and size vary continuously around each
attribute's value, as they do in photographs. Face i of a seed depends on (seed, i) alone.
"""

import io
import json
import random
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from latentgeo.core.run.progress import progress
from latentgeo.models.judges.captions import caption, draw, draw_stated
from latentgeo.train.sets.settings import RenderAvatars

if TYPE_CHECKING:
    from PIL.Image import Image

PARTS = {  # attribute value -> the renderer's name for it
    "mouth": {
        "smiling": "SMILE",
        "serious": "SERIOUS",
        "sad": "SAD",
        "surprised": "SCREAM_OPEN",
        "tongue": "TONGUE",
    },
    "eyes": {"open": "DEFAULT", "closed": "CLOSED", "winking": "WINK", "heart": "HEART"},
    "brows": {"normal": "DEFAULT", "raised": "RAISED_EXCITED", "angry": "ANGRY"},
    "hair": {
        "no": "NONE",
        "short": "SHORT_FLAT",
        "long": "STRAIGHT_1",
        "curly": "CURLY",
        "bun": "BUN",
        "bob": "BOB",
        "afro": "FRO",
    },
    "facial_hair": {"none": "NONE", "beard": "BEARD_MEDIUM", "moustache": "MOUSTACHE_MAGNUM"},
    "accessory": {
        "none": "NONE",
        "glasses": "PRESCRIPTION_2",
        "round glasses": "ROUND",
        "sunglasses": "SUNGLASSES",
    },
    "clothes": {
        "hoodie": "HOODIE",
        "t-shirt": "SHIRT_CREW_NECK",
        "blazer": "BLAZER_SHIRT",
        "overall": "OVERALL",
    },
}
COLOURS = {  # attribute value -> sRGB
    "hair_colour": {
        "black": (40, 34, 34),
        "brown": (112, 64, 42),
        "blond": (226, 190, 110),
        "red": (190, 74, 36),
        "gray": (168, 172, 176),
        "pink": (240, 140, 170),
    },
    "skin": {
        "pale": (250, 218, 196),
        "light": (237, 185, 138),
        "tanned": (222, 150, 90),
        "brown": (170, 106, 66),
        "dark": (98, 62, 44),
    },
    "clothes_colour": {
        "white": (236, 236, 236),
        "black": (44, 46, 54),
        "red": (222, 66, 62),
        "blue": (70, 120, 214),
        "green": (84, 176, 104),
        "yellow": (244, 208, 88),
    },
    "background": {
        "white": (246, 246, 246),
        "gray": (150, 154, 160),
        "blue": (118, 178, 240),
        "green": (148, 214, 140),
        "pink": (248, 180, 206),
        "yellow": (250, 232, 140),
        "purple": (178, 144, 226),
        "orange": (250, 176, 104),
    },
}
BRIGHTNESS_JITTER = 9  # standard deviation of all three channels together, of 255
CHANNEL_JITTER = 4  # standard deviation of each channel by itself, of 255
TEST_FRACTION = 0.5  # of a `.zip`: its last faces are held out
SUPERSAMPLING = 4
TOP = -0.06  # where a drawing begins, as a share of the image's side


def face(i: int, seed: int, size: int) -> tuple[bytes, dict[str, str], str]:
    """Return face i of this seed: a lossless WebP (size, size), its attributes, its caption."""
    values, text, look = face_plan(i, seed)
    return webp(picture(values, look, size)), values, text


def face_plan(i: int, seed: int) -> tuple[dict[str, str], str, "Look"]:
    """Return the attributes, the caption and the look of face i of this seed."""
    rng = random.Random(f"{seed}/{i}")
    values = draw(rng)
    text = caption(values, draw_stated(values, rng))
    return values, text, draw_look(values, rng)


def render_avatars(cmd: RenderAvatars) -> None:
    """Write the faces: a folder with metadata.jsonl, or a `.zip` of the same.

    Raises RuntimeError where the renderer is not installed.
    """
    _renderer()
    faces = _faces(cmd.count, cmd.seed, cmd.size, cmd.workers)
    if cmd.out.suffix == ".zip":
        _write_zip(cmd.out, faces, round(cmd.count * (1 - TEST_FRACTION)))
    else:
        _write_folder(cmd.out, faces)


def _faces(
    count: int, seed: int, size: int, workers: int
) -> Iterator[tuple[str, bytes, dict[str, object]]]:
    make = partial(face, seed=seed, size=size)
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(make, range(count), chunksize=32)
        for i, (image, values, text) in enumerate(progress(results, total=count, label="render")):
            name = f"{i:06d}.webp"
            yield name, image, {"file_name": name, "text": text, "attributes": values}


def _write_folder(out: Path, faces: Iterator[tuple[str, bytes, dict[str, object]]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "metadata.jsonl", "w", encoding="utf-8") as lines:
        for name, image, row in faces:
            (out / name).write_bytes(image)
            lines.write(json.dumps(row) + "\n")


def _write_zip(
    out: Path, faces: Iterator[tuple[str, bytes, dict[str, object]]], train: int
) -> None:
    rows: list[str] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, image, row in faces:
            archive.writestr(zipfile.ZipInfo(name), image)
            rows.append(json.dumps(row | {"split": "train" if len(rows) < train else "test"}))
        metadata = zipfile.ZipInfo("metadata.jsonl")
        archive.writestr(metadata, "\n".join(rows) + "\n", zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Look:
    """What a face has besides its attributes: its exact colours, and where it is in the image."""

    hexes: dict[str, str]  # by the names of COLOURS
    scale: float  # of the drawing, whose width is that of the image
    left: float  # shift to the right from the middle, as a share of the image's side
    top: float  # shift down


def draw_look(values: dict[str, str], rng: random.Random) -> Look:
    """Return a look; the same state of `rng` gives other values the same jitter and place."""
    hexes = {name: _jittered(COLOURS[name][values[name]], rng) for name in COLOURS}
    scale, left, top = rng.uniform(1.08, 1.22), rng.uniform(-0.04, 0.04), rng.uniform(-0.03, 0.03)
    return Look(hexes, scale, left, top)


def picture(values: dict[str, str], look: Look, size: int) -> "Image":
    """Return a face of these attributes and look, RGB (size, size)."""
    from PIL import Image

    side = SUPERSAMPLING * size
    canvas = Image.new("RGBA", (side, side), look.hexes["background"])
    figure = rasterized(drawing(values, look), side)
    placed(canvas, figure.resize([round(look.scale * edge) for edge in figure.size]), look)
    return canvas.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def drawing(values: dict[str, str], look: Look) -> str:
    """Return the drawing of a face as SVG, on nothing."""
    avatars, _ = _renderer()
    avatar = avatars.Avatar(
        style=avatars.AvatarStyle.TRANSPARENT,
        top=avatars.HairType[PARTS["hair"][values["hair"]]],
        eyebrows=avatars.EyebrowType[PARTS["brows"][values["brows"]]],
        eyes=avatars.EyeType[PARTS["eyes"][values["eyes"]]],
        nose=avatars.NoseType.DEFAULT,
        mouth=avatars.MouthType[PARTS["mouth"][values["mouth"]]],
        facial_hair=avatars.FacialHairType[PARTS["facial_hair"][values["facial_hair"]]],
        accessory=avatars.AccessoryType[PARTS["accessory"][values["accessory"]]],
        clothing=avatars.ClothingType[PARTS["clothes"][values["clothes"]]],
        skin_color=look.hexes["skin"],
        hair_color=look.hexes["hair_colour"],
        facial_hair_color=look.hexes["hair_colour"],
        clothing_color=look.hexes["clothes_colour"],
    )
    return str(avatar.render())


def rasterized(svg: str, side: int) -> "Image":
    """Return a drawing as RGBA pixels, `side` wide."""
    from PIL import Image

    _, to_png = _renderer()
    return Image.open(io.BytesIO(to_png(svg_string=svg, width=side)))


def placed(canvas: "Image", figure: "Image", look: Look) -> None:
    """Lay a scaled figure over a square canvas, both RGBA, where the look says."""
    side = canvas.width
    left = round((side - figure.width) / 2 + look.left * side)
    top = round(TOP * side + look.top * side)
    canvas.alpha_composite(figure, (max(left, 0), max(top, 0)), (max(-left, 0), max(-top, 0)))


def webp(image: "Image") -> bytes:
    """Return a picture as a lossless WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=100, method=4)
    return buffer.getvalue()


def _jittered(colour: tuple[int, int, int], rng: random.Random) -> str:
    brightness = rng.gauss(0, BRIGHTNESS_JITTER)
    channels = (min(max(round(rng.gauss(c + brightness, CHANNEL_JITTER)), 0), 255) for c in colour)
    return "#" + "".join(f"{c:02x}" for c in channels)


def _renderer():  # type: ignore[no-untyped-def]
    try:
        import python_avatars
        import resvg_py
    except ImportError as error:
        raise RuntimeError(
            f"rendering avatars needs the packages python_avatars and resvg_py, and {error.name} "
            "is not installed: pip install 'latentgeo[data]'"
        ) from None
    return python_avatars, resvg_py.svg_to_bytes
