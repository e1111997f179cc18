"""Turns the Noto emoji into a folder of captioned images that every trainer here reads.

The source is the unpacked npm package `emoji-datasource-google` (`emoji.json` and `img/google/64`)
or a folder with `emoji64_rgba.npz` (images (N, 64, 64, 4) uint8) and `emoji64_meta.json`. The
artwork is Google's, under the Apache License 2.0; a notice that says so is written beside it.

    latentgeo emoji-folder --from node_modules/emoji-datasource-google --out emoji
"""

import io
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.core.run.text import read_text
from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.items import BadItem, Rejects, read_file
from latentgeo.train.sets.settings import EmojiFolder

NOTICE = """Images: Noto Emoji, copyright Google LLC, Apache License 2.0
(https://www.apache.org/licenses/LICENSE-2.0), composited on white and resized.
Names and codes: emoji-datasource-google, copyright 2013 Cal Henderson, MIT License.
"""
FIELDS = ("name", "unified", "category")
TONES = {
    "1F3FB": "light skin tone",
    "1F3FC": "medium-light skin tone",
    "1F3FD": "medium skin tone",
    "1F3FE": "medium-dark skin tone",
    "1F3FF": "dark skin tone",
}


@dataclass(frozen=True)
class Emoji:
    """One emoji: the PNG bytes it is drawn by and what it shows."""

    code: str
    name: str
    category: str
    group: str
    png: bytes


def emoji_folder(cmd: EmojiFolder) -> int:
    """Write the folder and return the number of emoji.

    Raises ValueError for a folder that is there already, and for a source without emoji.
    """
    metadata = cmd.out / "metadata.jsonl"
    if metadata.exists():
        raise ValueError(f"{metadata} exists; choose another folder or remove it")
    rejects, lines = Rejects("skip"), []
    chosen = _chosen(cmd, rejects)
    cmd.out.mkdir(parents=True, exist_ok=True)
    for emoji in progress(chosen, label="emoji", unit="image"):
        file_name = f"{emoji.code.lower()}.png"
        try:
            (cmd.out / file_name).write_bytes(square_png(emoji, cmd.size))
        except BadItem as bad:
            rejects.add(bad)
            continue
        lines.append(json.dumps(row(emoji, file_name), ensure_ascii=False))
        if len(lines) == cmd.limit:
            break
    if not lines:
        raise ValueError(f"{cmd.from_}: no emoji. {rejects.summary()}")
    atomic_write(cmd.out / "NOTICE.txt", NOTICE)
    atomic_write(metadata, "\n".join(lines) + "\n")  # last: its presence says complete
    print(f"{len(lines)} emoji in {cmd.out}. {rejects.summary()}".strip())
    return len(lines)


def _chosen(cmd: EmojiFolder, rejects: Rejects) -> Iterator[Emoji]:
    found = read_emoji(cmd.from_, cmd.tones, rejects)
    return (emoji for i, emoji in enumerate(found) if i % cmd.every == 0)


def read_emoji(source: Path, tones: bool, rejects: Rejects) -> Iterator[Emoji]:
    """Return the emoji of a package or an emoji64 folder; neither is a FileNotFoundError."""
    if (source / "emoji.json").is_file():
        return from_package(source, tones, rejects)
    if (source / "emoji64_rgba.npz").is_file():
        return from_arrays(source)
    raise FileNotFoundError(f"{source}: neither emoji.json nor emoji64_rgba.npz is there")


def from_package(source: Path, tones: bool, rejects: Rejects) -> Iterator[Emoji]:
    """Yield the emoji of the npm package in Unicode's order, skin tones after their base."""
    rows = rows_of(source / "emoji.json", (*FIELDS, "subcategory", "sort_order", "image"))
    for base in sorted(rows, key=lambda row: row["sort_order"]):
        variants = [(base, base["name"].lower())]
        for tone, text in TONES.items() if tones else ():
            if tone in base.get("skin_variations", {}):
                variants.append((base["skin_variations"][tone], f"{variants[0][1]}, {text}"))
        for variant, name in variants:
            if variant.get("has_img_google"):
                path = source / "img/google/64" / Path(variant["image"]).name
                try:
                    png = read_file(path)
                except BadItem as bad:
                    rejects.add(bad)
                    continue
                yield Emoji(variant["unified"], name, base["category"], base["subcategory"], png)


def from_arrays(source: Path) -> Iterator[Emoji]:
    """Yield the emoji of a folder with `emoji64_rgba.npz` and `emoji64_meta.json`.

    Raises ValueError where there are not as many names as images.
    """
    rows = rows_of(source / "emoji64_meta.json", (*FIELDS, "sub"))
    with np.load(source / "emoji64_rgba.npz", allow_pickle=False) as arrays:
        images = arrays["images"]  # (N, 64, 64, 4)
    if len(rows) != len(images):
        raise ValueError(f"{source}: {len(images)} images, but {len(rows)} names")
    for row, image in zip(rows, images, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        name = row["name"].lower()
        yield Emoji(row["unified"], name, row["category"], row["sub"], file.getvalue())


def rows_of(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the objects of a JSON file that all have `keys`; else a ValueError names the file."""
    try:
        rows = json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: a list of objects is wanted")
    for number, row in enumerate(rows):
        if missing := [key for key in keys if row.get(key) is None]:
            raise ValueError(f"{path}: entry {number} has no {missing[0]}")
    return rows


def square_png(emoji: Emoji, size: int) -> bytes:
    """Return the emoji on white, `size` pixels a side, as a PNG file."""
    image = Framing(size=size).tensor(emoji.png, emoji.name)  # (3, size, size)
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "PNG", optimize=True)
    return file.getvalue()


def row(emoji: Emoji, file_name: str) -> dict[str, object]:
    """Return the line of `metadata.jsonl` of an emoji."""
    attributes = {"category": emoji.category, "group": emoji.group}
    return {"file_name": file_name, "text": caption(emoji.name), "attributes": attributes}


def caption(name: str) -> str:
    """Return `an emoji of a grinning face` for the Unicode name `grinning face`.

    The noun before the first `with`, `of`, `in`, ... decides: a plural one takes no article.
    """
    head = re.split(r" (?:with|of|in|on|and|over|for|\w+ing) |[:,]", name)[0]
    if re.match(r"two |no |multiple ", name) or re.search(r"(?<![sui])s$|people$", head):
        return f"an emoji of {name}"
    sounded = unicodedata.normalize("NFD", name)  # å as a
    vowel = re.match(r"[aeiou]|hour", sounded) and not re.match(r"uni|u[.gkr]|eu|one", sounded)
    return f"an emoji of {'an' if vowel else 'a'} {name}"
