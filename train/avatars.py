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
from functools import partial
from pathlib import Path

from latentgeo.core.device import progress
from latentgeo.models.avatars import caption, draw, draw_stated

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


def face(i: int, seed: int, size: int) -> tuple[bytes, dict[str, str], str]:
    """Return face i of this seed: a lossless WebP (size, size), its attributes, its caption."""
    rng = random.Random(f"{seed}/{i}")
    values = draw(rng)
    text = caption(values, draw_stated(values, rng))
    return _image(values, rng, size), values, text


def render(out: Path, count: int, seed: int = 0, size: int = 64, workers: int = 1) -> None:
    """Write `count` faces to `out`: a folder with metadata.jsonl, or a `.zip` of the same.

    Raises ValueError where count or size are not positive, RuntimeError where the renderer is not
    installed.
    """
    if count < 1 or size < 8:
        raise ValueError(f"count ≥ 1 and size ≥ 8 wanted, got count {count}, size {size}")
    _renderer()
    faces = _faces(count, seed, size, workers)
    if out.suffix == ".zip":
        _write_zip(out, faces, round(count * (1 - TEST_FRACTION)))
    else:
        _write_folder(out, faces)


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


def _image(values: dict[str, str], rng: random.Random, size: int) -> bytes:
    from PIL import Image

    avatars, to_png = _renderer()
    hexes = {name: _jittered(COLOURS[name][values[name]], rng) for name in COLOURS}
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
        skin_color=hexes["skin"],
        hair_color=hexes["hair_colour"],
        facial_hair_color=hexes["hair_colour"],
        clothing_color=hexes["clothes_colour"],
    )
    side = SUPERSAMPLING * size
    drawn = Image.open(io.BytesIO(to_png(svg_string=avatar.render(), width=side)))
    canvas = Image.new("RGBA", (side, side), hexes["background"])
    scale = rng.uniform(1.08, 1.22)
    figure = drawn.resize((round(drawn.width * scale), round(drawn.height * scale)))
    left = round((side - figure.width) / 2 + rng.uniform(-0.04, 0.04) * side)
    top = round(-0.06 * side + rng.uniform(-0.03, 0.03) * side)
    canvas.alpha_composite(figure, (max(left, 0), max(top, 0)), (max(-left, 0), max(-top, 0)))
    image = canvas.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
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
