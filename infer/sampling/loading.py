"""Models by the names that commands have for them: weights, adapters with their scales, a hash.

A name is `NAME`, `NAME+LORA` or `NAME+LORA@SCALE+LORA`, for models with text and without.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch

from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.networks import Networks
from latentgeo.models.bundles.settings import Prediction
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.load import add_lora, find_lora, find_model, load_text_to_image
from latentgeo.models.formats.load_image import fuse_lora, load_image_model
from latentgeo.models.lora.adapter import adapters, fuse

ALIASES = {
    "avatars-smooth": "avatars+smooth_lora",
    "avatars-ddpm-isometric": "avatars-ddpm+isometric_lora",
}


N = TypeVar("N", bound=Networks)
Kept = MutableMapping[object, Networks]  # by all that decides what is loaded
KEPT: ContextVar[Kept | None] = ContextVar("KEPT", default=None)


@dataclass(frozen=True, kw_only=True)
class Model:
    """Where a model's weights are: `NAME`, `NAME+LORA`, `NAME+LORA@SCALE+LORA`, taken apart."""

    source: str  # an embedded name, a folder of ours or of diffusers, or a single file
    loras: tuple[tuple[str, float], ...]  # a file or the name of one beside it, scale; they add up

    def check(self) -> None:
        """Raise FileNotFoundError if there is no such model or adapter, without loading it."""
        self.files()

    def files(self) -> list[tuple[Path, float]]:
        """Return each adapter's file and scale; FileNotFoundError as `check`."""
        place = find_model(self.source)
        return [(find_lora(file, place), scale) for file, scale in self.loras]


def parse_model(spec: str) -> Model:
    """Take apart the name of a model; `avatars-smooth` is short for `avatars+smooth_lora`.

    Raises ValueError for an empty part, or a scale that is no finite number.
    """
    first, *more = spec.split("+")
    source, *own = ALIASES.get(first, first).split("+")
    names = [*own, *more]
    if not source or not all(names):
        raise ValueError(f"model: got {spec!r}, wanted NAME, NAME+LORA or NAME+LORA@SCALE+LORA")
    return Model(source=source, loras=tuple(_adapter(name, spec) for name in names))


def _adapter(name: str, spec: str) -> tuple[str, float]:
    """Take apart `LORA` or `LORA@SCALE`."""
    file, _, scale = name.rpartition("@") if "@" in name else (name, "", "1")
    try:
        weight = float(scale)
    except ValueError:
        raise ValueError(f"model: got {spec!r}, wanted a number behind '@'") from None
    if not file or not math.isfinite(weight):
        raise ValueError(f"model: got {name!r} in {spec!r}, wanted LORA or LORA@SCALE")
    return file, weight


def load_model(
    spec: str,
    device: str = "auto",
    dtype: str = "fp32",
    embeddings: Sequence[Path] = (),
    prediction: Prediction | None = None,
) -> TextToImage:
    """Load a model as `parse_model` reads its name, frozen, with the learned tokens of files.

    Adapters become part of the weights, up to rounding, in float32 and float64: a UNet of this size
    is 1.4 times as fast as beside them. In 16 bits W_0 + ΔW would round ΔW off; there they stay.
    """
    model = parse_model(spec)
    where, kind = pick_device(device), pick_dtype(dtype)
    files = model.files()

    def load() -> TextToImage:
        bundle = load_text_to_image(
            model.source, embeddings=embeddings, device=where, dtype=kind, prediction=prediction
        )
        for path, scale in files:
            add_lora(bundle, path, scale)
        if kind.itemsize > 2:
            fuse_all(bundle)
        return bundle

    return kept(("text", spec, where, kind, tuple(embeddings), prediction), load)


@contextmanager
def keeping(models: Kept) -> Iterator[None]:
    """Load a model once in `with` blocks of the same `models`: the second time it is from there.

    For a process that runs many commands on the same files; in a thread it is that thread's.
    """
    token = KEPT.set(models)
    try:
        yield
    finally:
        KEPT.reset(token)


def kept(key: tuple[object, ...], load: Callable[[], N]) -> N:
    """Return what `load` returns, or returned before for the same key where models are kept."""
    models = KEPT.get()
    if models is None:
        return load()
    if key not in models:
        models[key] = load()
    return cast(N, models[key])


def fuse_all(bundle: TextToImage) -> None:
    """Make every adapter part of its layers' weights."""
    for part in bundle.modules.values():
        for name in adapters(part):
            fuse(part, name)


def load_image(
    spec: str,
    device: str = "auto",
    dtype: str = "fp32",
    config: Path | None = None,
    prediction: Prediction | None = None,
) -> ImageModel:
    """Load a model without text as `parse_model` reads its name, frozen."""
    model = parse_model(spec)
    where, kind = pick_device(device), pick_dtype(dtype)
    files = model.files()

    def load() -> ImageModel:
        loaded = load_image_model(model.source, where, kind, config)
        for path, scale in files:
            fuse_lora(loaded, path, scale)
        return predicting(loaded, prediction)

    return kept(("image", spec, where, kind, config, prediction), load)


def predicting(model: ImageModel, prediction: Prediction | None) -> ImageModel:
    """Return the model, whose network returns what is said, if anything is."""
    if prediction is not None:
        model.config = replace(model.config, prediction=prediction)
    return model


def loaded_hash(model: Networks) -> str:
    """Return 16 hexadecimal digits of a SHA-256 over every loaded weight, an adapter's included."""
    digest = hashlib.sha256()
    for part in model.modules.values():
        for name, weight in sorted(part.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(weight.contiguous().cpu().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
