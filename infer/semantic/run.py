"""`latentgeo edit-semantic`: images, real or drawn, edited along directions, as strips and a grid.

Asyrp (arXiv 2210.10960), Alg. 1. A strip is of one start x_T: its samples differ in the factor of
the scales alone, also in their noise below t_boost, which belongs to the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.core.run.files import sha256
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import mix
from latentgeo.core.schedule import batch_time
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.pictures.photos import read_photos
from latentgeo.infer.sampling.loading import loaded_hash, parse_model
from latentgeo.infer.sampling.pipeline import seed_noises, seeded_noise
from latentgeo.infer.sampling.typical import one_step, tell, typical_of
from latentgeo.infer.sampling.unprompted import image_shape
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import (
    Attribute,
    Editing,
    averaged,
    edit,
    editing_times,
    everywhere,
)
from latentgeo.infer.semantic.intervals import Intervals, read_intervals
from latentgeo.infer.semantic.layers import check_layer, shiftable
from latentgeo.infer.semantic.noise import noises_of
from latentgeo.infer.semantic.settings import EditSemantic
from latentgeo.models.bundles.delta_h import Direction, embedding
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.delta_file import Purpose, read_direction, read_purpose
from latentgeo.models.formats.load import find_direction, find_model
from latentgeo.models.unet_layers import H


@dataclass(frozen=True, kw_only=True, eq=False)
class Named:
    """An attribute with the name that its rows have."""

    name: str
    attribute: Attribute
    scale: float  # c_i
    t_boost: int
    hash: str  # of its file


@dataclass(frozen=True, kw_only=True, eq=False)
class Starts:
    """Where edits start: N images with their noises, and the seeds of what is drawn on the way."""

    names: Sequence[str]
    noises: Tensor  # (N, C, h, w)
    seeds: Sequence[int]
    photos: Tensor | None  # (N, 3, H, W), of real images


def edit_semantic(cmd: EditSemantic) -> list[Path]:
    """Edit every image by every direction, or by all at once; return the files, the grid last."""
    model = load_plain(
        cmd.model, pick_device(cmd.device), pick_dtype(cmd.dtype), cmd.model_config, cmd.prediction
    )
    named = attributes_of(cmd, model)
    visited = editing_times(model.schedule, cmd.steps)
    photos = photos_of(cmd, model)
    write_run(cmd, cmd.out)
    if photos is not None:
        tell_typical(cmd, model, photos)
    start = starts_of(cmd, model, photos)
    if cmd.shift != "own":
        named = [_evened(cmd, model, one, visited) for one in named]
    sets = [named] if cmd.combine else [[one] for one in named]
    strips = [edited(model, start, some, visited, cmd) for some in sets]
    rows, labels, files = [], [], []
    for i, name in enumerate(start.names):
        for some, images in zip(sets, strips, strict=True):
            title = "+".join(one.name for one in some)
            row = [to_picture(image) for image in (*_own(start, i), *images[i])]
            about = record(cmd, model, start.names[i : i + 1], some)
            files.append(save_png(cmd.out / f"{i:04d}-{title}.png", grid([row], gap=0), about))
            rows.append(row)
            labels.append(f"{name}\n{title}")
    heads = [f"{factor:+g}" if factor else "0" for factor in cmd.strip]
    heads = heads if start.photos is None else ["image", *heads]
    sheet = grid(rows, row_labels=labels, column_labels=heads)
    about = record(cmd, model, start.names, named)
    return [*files, save_png(cmd.out / "grid.png", sheet, about)]


def edited(
    model: ImageModel,
    start: Starts,
    some: Sequence[Named],
    visited: tuple[int, ...],
    cmd: EditSemantic,
) -> Tensor:
    """Return the strips (N, len(strip), 3, H, W), on the CPU, of all images by some attributes.

    Raises RuntimeError where one is not finite.
    """
    count, width = len(start.names), len(cmd.strip)
    x_T = start.noises.repeat_interleave(width, 0)
    seeds = [seed for seed in start.seeds for _ in range(width)]
    own = torch.tensor([one.scale for one in some])
    scales = (torch.tensor(cmd.strip)[:, None] * own).repeat(count, 1)  # (N S, M)
    attributes, t_boost = [one.attribute for one in some], min(one.t_boost for one in some)
    found, label = [], "+".join(one.name for one in some)
    with progress(total=len(x_T), label=label, unit="image") as bar:
        for first in range(0, len(x_T), cmd.batch):
            part = slice(first, first + cmd.batch)
            editing = Editing(
                attributes=attributes,
                scales=scales[part],
                t_boost=t_boost,
                both=cmd.both,
                overlap=cmd.overlap,
            )
            draw = seeded_noise(seeds[part])
            x_0 = edit(model, x_T[part].to(model.device), editing, visited, draw)
            found.append(model.decode(x_0).float().cpu())
            bar.update(len(x_0))
    images = torch.cat(found)
    if not images.isfinite().all():
        raise RuntimeError(f"edits by {label} are not finite")
    return images.unflatten(0, (count, width))


def attributes_of(cmd: EditSemantic, model: ImageModel) -> list[Named]:
    """Return the directions of the command with their intervals; ValueError where one is unknown.

    The command's own t_edit and t_boost go before those of the file of intervals, and these before
    those that a direction was learned with.
    """
    measured = None if cmd.intervals is None else read_intervals(cmd.intervals)
    scales = cmd.scale or (1.0,)
    scales = scales * (len(cmd.direction) if len(scales) == 1 else 1)
    pairs = zip(cmd.direction, scales, strict=True)
    found = [_attribute(cmd, model, text, scale, measured) for text, scale in pairs]
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise ValueError(f"direction: got names {names}, wanted one for each: give FILE=NAME")
    return found


def _attribute(
    cmd: EditSemantic, model: ImageModel, text: str, scale: float, measured: Intervals | None
) -> Named:
    path, name = direction_file(cmd.model, text)
    purpose = read_purpose(path)
    learned = read_direction(path).to(model.device, model.dtype)
    check_width(model, learned, path, purpose.layer)
    t_edit, t_boost = intervals_of(cmd, purpose, measured, path)
    attribute = Attribute(
        direction=learned, t_edit=t_edit, S=purpose.S or cmd.learned_steps, layer=purpose.layer
    )
    return Named(
        name=name or purpose.name,
        attribute=attribute,
        scale=scale,
        t_boost=t_boost,
        hash=sha256(path)[:16],
    )


def direction_file(model: str, text: str) -> tuple[Path, str]:
    """Return the file that `FILE[=NAME]` means for a model, and its NAME, or nothing."""
    file, _, name = text.partition("=")
    return find_direction(file, find_model(parse_model(model).source)), name


def intervals_of(
    cmd: EditSemantic, purpose: Purpose, measured: Intervals | None, path: Path
) -> tuple[int, int]:
    """Return t_edit and t_boost of a direction; ValueError where nothing says t_edit."""
    t_edit, t_boost = purpose.t_edit, purpose.t_boost
    if measured is not None:
        t_boost = measured.t_boost()
        if purpose.similarity is not None:
            t_edit = measured.t_edit(purpose.similarity)
    t_edit = t_edit if cmd.t_edit is None else cmd.t_edit
    t_boost = t_boost if cmd.t_boost is None else cmd.t_boost
    if t_edit is None:
        raise ValueError(
            f"t_edit: got none, wanted a time: {path} does not say where it was learned"
        )
    return t_edit, t_boost or 0


def check_width(model: ImageModel, learned: nn.Module, path: Path, layer: str = H) -> None:
    """Raise ValueError unless a direction takes what the model has at a layer."""
    check_layer(model, layer)
    with torch.no_grad():
        x = torch.zeros(1, *model.shape, device=model.device, dtype=model.dtype)
        t = batch_time(1, x)
        h, _ = shiftable(model, x, t, layer=layer)
        try:
            fits = (h + learned(h, embedding(model, t), t)).shape == h.shape
        except RuntimeError:
            fits = False
    if not fits:
        shapes = {name: tuple(value.shape) for name, value in learned.state_dict().items()}
        first = next(iter(shapes.items()))
        raise ValueError(
            f"{path}: {first[0]} {first[1]} does not fit the model's {layer} {tuple(h.shape[1:])}"
        )


def photos_of(cmd: EditSemantic, model: ImageModel) -> Tensor | None:
    """Return the images (N, 3, H, W) in [-1, 1] of the files named, or none of seeds."""
    size = cmd.size or model.config.sampling.size
    return read_photos(list(cmd.images), 1, size) if cmd.images else None


def tell_typical(cmd: EditSemantic, model: ImageModel, photos: Tensor) -> None:
    """Say how typical the images (N, 3, H, W) are of those that the model has learned."""
    known = typical_of(parse_model(cmd.model).source, photos.shape[-1])
    parts = [one_step(model, model.predict(), part) for part in photos.split(cmd.batch)]
    tell([path.name for path in cmd.images], torch.cat(parts), known)


def starts_of(cmd: EditSemantic, model: ImageModel, photos: Tensor | None) -> Starts:
    """Return the images' noises, from the cache or by inversion, or those of seeds.

    Asyrp Sec. M   x_T ~ N(0, I) of a seed
    """
    shape = image_shape(model, cmd.size)
    if photos is None:
        names = [f"seed {seed}" for seed in cmd.seeds]
        noises = seed_noises(cmd.seeds, shape)
        return Starts(names=names, noises=noises, seeds=cmd.seeds, photos=None)
    visited = editing_times(model.schedule, cmd.inversion_steps or cmd.steps)
    folder = cmd.out / "inversions" if cmd.cache is None else cmd.cache
    noises = noises_of(model, photos, visited, folder, cmd.refine)
    seeds = [mix(cmd.seed, "boost", i) for i in range(len(photos))]
    names = [path.stem for path in cmd.images]
    return Starts(names=names, noises=noises, seeds=seeds, photos=photos)


def record(
    cmd: EditSemantic, model: ImageModel, names: Sequence[str], some: Sequence[Named]
) -> dict[str, object]:
    """Return what a picture's file says of how it was made."""
    return {
        "model": cmd.model,
        "weights": loaded_hash(model),
        "of": list(names),
        "directions": {one.name: one.hash for one in some},
        "scale": {one.name: one.scale for one in some},
        "strip": list(cmd.strip),
        "shift": cmd.shift,
        "both": cmd.both,
        "steps": cmd.steps,
        "t_edit": {one.name: one.attribute.t_edit for one in some},
        "t_boost": min(one.t_boost for one in some),
        "overlap": cmd.overlap,
        "refine": cmd.refine,
        "seed": cmd.seed,
        "version": version("latentgeo"),
    }


def _evened(cmd: EditSemantic, model: ImageModel, one: Named, visited: tuple[int, ...]) -> Named:
    """Return an attribute with its shift averaged over images, and for "global" over t."""
    seeds = [mix(cmd.seed, "averaged", i) for i in range(cmd.averaged)]
    x = seed_noises(seeds, image_shape(model, cmd.size)).to(model.device)
    table = averaged(model, x, one.attribute, visited)
    shift: Direction = table if cmd.shift == "mean" else everywhere(table)
    return replace(one, attribute=replace(one.attribute, direction=shift))


def _own(start: Starts, i: int) -> Sequence[Tensor]:
    """Return the image itself (3, H, W) where it is a real one."""
    return () if start.photos is None else (start.photos[i],)
