"""`latentgeo edit-text`: an image, its description, and another one; the image is made to fit it.

Files: `strip.png` (a row per model: source, reconstruction, edits), `<model>-<number>.png` for each
edit, with its settings inside, and `edits.json`; files of the same name are replaced.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from latentgeo.core.cli import write_run
from latentgeo.core.device import generator, progress
from latentgeo.core.files import atomic_write, sha256
from latentgeo.infer.edit_commands import EditText
from latentgeo.infer.edit_methods import run_edit
from latentgeo.infer.images import grid, save_png, to_picture
from latentgeo.infer.interpolate import short_names
from latentgeo.infer.pipeline import (
    Sampling,
    image_noise,
    latent_shape,
    load_model,
    parse_model,
    sampling_of,
)
from latentgeo.infer.sample import record
from latentgeo.infer.text_editing import Editing, editing, invert, reconstruct
from latentgeo.models.bundle import TextToImage

METHOD_OPTIONS = {  # what each method depends on, for the record
    "smooth": ("release",),
    "sdedit": ("strength",),
    "prompt-to-prompt": (
        *("cross", "self_maps", "swap", "reweight", "blend", "blend_words", "threshold"),
    ),
    "plug-and-play": ("features", "attention", "block"),
}


def edit_images(cmd: EditText) -> list[Path]:
    """Edit with every model and return the files written, the strip first."""
    for spec in cmd.models:
        parse_model(spec).check()
    if cmd.image is not None:
        read_picture(cmd.image)
    rows, settings = [], {}
    for spec in cmd.models:
        bundle = load_model(spec, cmd.device, cmd.dtype)
        sampling = sampling_of(bundle, cmd.steps, cmd.guidance)
        images = edits(cmd, bundle, sampling, f"editing with {spec}")
        rows.append([to_picture(image) for image in images])
        settings[spec] = {**record(bundle, spec, sampling, cmd.size), **about(cmd, sampling)}
    write_run(cmd, cmd.out)
    return write(cmd, rows, settings)


def write(
    cmd: EditText, rows: Sequence[Sequence[Image.Image]], settings: dict[str, dict[str, object]]
) -> list[Path]:
    """Write the strip, the record and each model's edits."""
    names = short_names(cmd.models)
    summary = {"source": cmd.source, "targets": list(cmd.target), "settings": settings}
    labels = ["source", "reconstruction", *cmd.target]
    sheet = grid(rows, row_labels=names, column_labels=labels)
    files = [
        save_png(cmd.out / "strip.png", sheet, summary),
        atomic_write(cmd.out / "edits.json", json.dumps(summary, indent=2) + "\n"),
    ]
    for name, spec, row in zip(names, cmd.models, rows, strict=True):
        for i, (target, picture) in enumerate(zip(cmd.target, row[2:], strict=True)):
            facts = {"source": cmd.source, "target": target, **settings[spec]}
            files.append(save_png(cmd.out / f"{name}-{i:02d}.png", picture, facts))
    return files


@torch.no_grad()
def edits(cmd: EditText, bundle: TextToImage, sampling: Sampling, label: str) -> Tensor:
    """Return images (2 + targets, 3, H, W): the source, its reconstruction, an edit per target."""
    shape = latent_shape(bundle, cmd.size)
    first = _editing(cmd, bundle, sampling, cmd.source)
    if cmd.image is None:
        x_T = image_noise(cmd.seed, shape).to(bundle.device)
        z_0 = rebuilt = reconstruct(first, x_T)
    else:
        picture = load_picture(cmd.image, shape[1] * bundle.config.vae.factor)
        z_0 = bundle.encode(picture).float()
        x_T = invert(bundle, z_0, [cmd.source], first.times, cmd.refine)
        rebuilt = reconstruct(first, x_T)
    noise = torch.randn(1, *shape, generator=generator(cmd.seed, "sdedit")).to(bundle.device)
    found = [z_0, rebuilt]
    for target in progress(cmd.target, label=label, unit="edit"):
        edit = _editing(cmd, bundle, sampling, target)
        found.append(
            run_edit(edit, cmd.method, cmd, x_T, z_0, noise, cmd.reweight, cmd.blend_words)
        )
    images = torch.cat([bundle.decode(z).float().cpu() for z in found])
    if not images.isfinite().all():
        raise RuntimeError(f"{label}: an image is not finite")
    return images


def source_guidance(cmd: EditText, sampling: Sampling) -> float:
    """Return the source's w: as given, else 1 for an image and the target's for a drawn one."""
    if cmd.source_guidance is not None:
        return cmd.source_guidance
    return sampling.guidance if cmd.image is None else 1.0


def about(cmd: EditText, sampling: Sampling) -> dict[str, object]:
    """Return what, besides the model, made the edits, for the record."""
    facts: dict[str, object] = {"method": cmd.method, "seed": cmd.seed}
    facts["source_guidance"] = source_guidance(cmd, sampling)
    if cmd.image is not None:
        facts |= {"image": cmd.image.name, "sha256": sha256(cmd.image), "refine": cmd.refine}
    return facts | {name: getattr(cmd, name) for name in METHOD_OPTIONS[cmd.method]}


def load_picture(path: Path, size: int) -> Tensor:
    """Return an image file as (1, 3, size, size) in [-1, 1]: its middle square, resized."""
    picture = read_picture(path)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    if side != size:
        square = square.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 127.5 - 1


def read_picture(path: Path) -> Image.Image:
    """Return an image file as RGB; FileNotFoundError or ValueError names it."""
    if not path.is_file():
        raise FileNotFoundError(f"image: {path} does not exist")
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"image: {path} is no image that can be read: {error}") from None


def _editing(cmd: EditText, bundle: TextToImage, sampling: Sampling, target: str) -> Editing:
    own = source_guidance(cmd, sampling)
    return editing(bundle, [cmd.source], [target], sampling.steps, sampling.guidance, own)
