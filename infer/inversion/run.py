"""`latentgeo invert` and `reconstruct`: inversions as files, found again and gone on with.

A file is safetensors: `noise` (B, C, h, w); with null-text inversion also `null` (k, 1, L, D), the
∅_t of the first k steps, and `x` (B, C, h, w), where they lead. It is written after every step, so
that a run that was stopped goes on from there. Its metadata holds, as JSON under `latentgeo`, all
that decides what is in it; a digest of that is part of its name, so that equal requests find it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.progress import progress
from latentgeo.infer.inversion.invert import Inverting, ascend, back, encode, null_texts
from latentgeo.infer.inversion.settings import Invert, Reconstruct
from latentgeo.infer.pictures.images import distinct, save_png, to_picture
from latentgeo.infer.pictures.photos import photo_hash, read_photos
from latentgeo.infer.sampling.loading import load_model, loaded_hash, parse_model
from latentgeo.infer.sampling.pipeline import cell, sampling_of
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.files.safetensors import SafeFile, write_safetensors

KEY = "latentgeo"  # of the metadata


@dataclass(frozen=True, eq=False)
class Inversion:
    """What an inversion found, and what made it; B images, which share ∅_t if there is one."""

    noise: Tensor  # (B, C, h, w)
    nulls: Tensor | None  # (k, 1, L, D), k = steps once it is finished; None of plain DDIM
    x: Tensor | None  # (B, C, h, w), where the first k lead
    prompts: tuple[str, ...]
    how: Inverting
    settings: Mapping[str, object]  # what decides it

    @property
    def finished(self) -> bool:
        """Whether every step has its ∅_t."""
        return self.nulls is None or len(self.nulls) == self.how.steps


def invert_images(cmd: Invert) -> Path:
    """Invert the command's one or two images and return the file."""
    parse_model(cmd.model).check()
    bundle = load_model(cmd.model, cmd.device, cmd.dtype, prediction=cmd.prediction)
    paths = [path for path in (cmd.image, cmd.image_b) if path is not None]
    prompts = [cmd.prompt, cmd.prompt if cmd.prompt_b is None else cmd.prompt_b][: len(paths)]
    photos = read_photos(paths, cell(bundle), cmd.size)
    write_run(cmd, cmd.out)
    path, _ = inverted(bundle, cmd.model, paths, photos, prompts, inverting(bundle, cmd), cmd.out)
    return path


def inverting(bundle: TextToImage, cmd: Invert) -> Inverting:
    """Return how the command inverts, with the model's defaults for what is unset."""
    plain = 1.0 if cmd.method == "ddim" and cmd.guidance is None else cmd.guidance
    sampling = sampling_of(bundle, cmd.steps, plain)
    return Inverting(
        method=cmd.method,
        steps=sampling.steps,
        guidance=sampling.guidance,
        guidance_up=cmd.guidance_up,
        times=cmd.inversion_times,
        inner=cmd.inner,
        fit_from=cmd.fit_from,
    )


def inverted(
    bundle: TextToImage,
    spec: str,
    paths: Sequence[Path],
    photos: Tensor,
    prompts: Sequence[str],
    how: Inverting,
    folder: Path,
) -> tuple[Path, Inversion]:
    """Return the file and what it holds, computing only what is not there; photos (B, 3, H, W).

    Several images share their ∅_t (SmoothS Eq. 5).
    """
    settings = {
        "model": spec,
        "weights": loaded_hash(bundle),
        "dtype": str(bundle.dtype).removeprefix("torch."),
        "images": [photo_hash(photo[None]) for photo in photos],
        "prompts": list(prompts),
        **how.plain(),
    }
    if bundle.config.prediction != "eps":
        settings["prediction"] = bundle.config.prediction
    named = {**settings, "names": [path.stem for path in paths], "version": version("latentgeo")}
    path = folder / f"{'-'.join(path.stem for path in paths)}-{_digest(settings)}.safetensors"
    begun = read_inversion(path, bundle.device) if path.is_file() else None
    if begun is not None and begun.finished:
        return path, begun
    return path, _computed(bundle, photos, prompts, how, named, path, begun)


@torch.no_grad()
def _computed(
    bundle: TextToImage,
    photos: Tensor,
    prompts: Sequence[str],
    how: Inverting,
    settings: Mapping[str, object],
    path: Path,
    begun: Inversion | None,
) -> Inversion:
    """Invert, or go on with what was begun, writing the file after every step."""
    texts = encode(bundle, prompts)
    pivot = ascend(bundle, bundle.encode(photos), texts, how)
    found = Inversion(pivot[0], None, None, tuple(prompts), how, settings)
    if how.method == "ddim":
        write_inversion(path, found)
        return found
    found = begun or found
    done = 0 if found.nulls is None else len(found.nulls)
    label = f"null text {settings['model']}"
    with progress(total=how.steps, initial=done, label=label, unit="step") as bar:
        for null, x in null_texts(bundle, pivot, texts, how, True, found.nulls, found.x):
            if not (null.isfinite().all() and x.isfinite().all()):
                kind = settings["dtype"]
                raise RuntimeError(f"step {done + 1} is not finite in {kind}; try --dtype fp32")
            done += 1
            nulls = null[None] if found.nulls is None else torch.cat([found.nulls, null[None]])
            found = Inversion(pivot[0], nulls, x, tuple(prompts), how, settings)
            write_inversion(path, found)
            bar.update()
    return found


def write_inversion(path: Path, found: Inversion) -> Path:
    """Write an inversion, finished or not, atomically."""
    tensors = {"noise": found.noise}
    if found.nulls is not None and found.x is not None:
        tensors |= {"null": found.nulls, "x": found.x}
    return write_safetensors(path, tensors, {KEY: json.dumps(dict(found.settings))})


def read_inversion(path: Path, device: torch.device | str = "cpu") -> Inversion:
    """Return what `write_inversion` wrote, its tensors on a device.

    Raises FileNotFoundError or ValueError that name the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, wanted one that latentgeo invert wrote")
    file = SafeFile(path)
    try:
        settings = json.loads(file.metadata[KEY])
        known = {field.name for field in fields(Inverting)}
        how = Inverting(**{k: v for k, v in settings.items() if k in known and v is not None})
        found = {name: file.read(name).clone().to(device) for name in file.entries}
        prompts = tuple(settings["prompts"])
        return Inversion(found["noise"], found.get("null"), found.get("x"), prompts, how, settings)
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{path}: not a file that latentgeo invert wrote") from None


def reconstruct_images(cmd: Reconstruct) -> list[Path]:
    """Make the images of an inversion again and return the files.

    Raises ValueError for an inversion that is not finished, and for other weights than it was of.
    """
    found = read_inversion(cmd.inversion)
    if found.nulls is not None and not found.finished:
        raise ValueError(
            f"{cmd.inversion}: {len(found.nulls)} of {found.how.steps} steps are done; start the "
            "same latentgeo invert again for the rest"
        )
    spec = str(found.settings["model"]) if cmd.model is None else cmd.model
    bundle = load_model(spec, cmd.device, cmd.dtype, prediction=cmd.prediction)
    _check_weights(bundle, found, spec, cmd.inversion)
    guidance = found.how.guidance if cmd.guidance is None else cmd.guidance
    images = rebuilt(bundle, found, guidance)
    write_run(cmd, cmd.out)
    names = _names(found)
    return [
        save_png(cmd.out / f"{name}.png", to_picture(image), {**found.settings, "w": guidance})
        for name, image in zip(names, images, strict=True)
    ]


@torch.no_grad()
def rebuilt(bundle: TextToImage, found: Inversion, guidance: float) -> Tensor:
    """Return the images (B, 3, H, W) in [-1, 1] that an inversion leads back to with guidance w."""
    how = replace(found.how, guidance=guidance)
    texts = encode(bundle, found.prompts)
    noise = found.noise.to(bundle.device)
    nulls = None if found.nulls is None else found.nulls.to(bundle.device)
    return bundle.decode(back(bundle, noise, texts, nulls, how)).float()


def _check_weights(bundle: TextToImage, found: Inversion, spec: str, path: Path) -> None:
    """Raise where the inversion belongs to another model; another dtype is another rounding."""
    was, now = found.settings.get("prediction", "eps"), bundle.config.prediction
    if was != now:
        raise ValueError(
            f"{path} was made with a model that predicts {was}, {spec} predicts {now}; give the "
            "--prediction that is right"
        )
    same_kind = found.settings["dtype"] == str(bundle.dtype).removeprefix("torch.")
    weights = loaded_hash(bundle)
    if same_kind and weights != found.settings["weights"]:
        raise ValueError(
            f"{path} was made with weights {found.settings['weights']}, but {spec} has {weights}; "
            "give the same as --model"
        )


def _names(found: Inversion) -> list[str]:
    return distinct([str(name) for name in found.settings["names"]])  # type: ignore[attr-defined]


def _digest(settings: Mapping[str, object]) -> str:
    text = json.dumps(settings, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()[:12]
