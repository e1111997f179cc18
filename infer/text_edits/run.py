"""`latentgeo edit-text`: an image, its description, and another one; the image is made to fit it.

Files: `strip.png` (a row per model: source, reconstruction, edits), `<model>-<number>.png` for each
edit, with its settings inside, and `edits.json`; files of the same name are replaced.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.files import atomic_write, sha256
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import mix
from latentgeo.core.run.text import read_lines
from latentgeo.infer.inversion.invert import Inverting, ascend, encode, null_texts
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.pictures.photos import open_photo, read_photo
from latentgeo.infer.sampling.loading import load_model, parse_model
from latentgeo.infer.sampling.pipeline import (
    Sampling,
    cell,
    image_noise,
    latent_shape,
    sampling_of,
    sampling_times,
)
from latentgeo.infer.sampling.sample import record
from latentgeo.infer.sampling.typical import one_step, tell, typical_of
from latentgeo.infer.text_edits.editing import TextEdit, drawing, editing, invert, reconstruct
from latentgeo.infer.text_edits.methods import run_edit
from latentgeo.infer.text_edits.pix2pix_zero import Sentences
from latentgeo.infer.text_edits.settings import EditText
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.bundles.text_to_image import TextToImage

METHOD_OPTIONS = {  # what each method depends on, for the record
    "smooth": ("release",),
    "sdedit": ("strength",),
    "cycle-diffusion": ("cycle_strength", "eta"),
    "prompt-to-prompt": (
        *("cross", "self_maps", "swap", "reweight", "blend", "blend_words", "threshold"),
    ),
    "pix2pix-zero": (
        *("map_guidance", "whitening", "sentence_pairs", "source_sentences", "target_sentences"),
    ),
    "disentangle": ("weight_rounds", "keep_weight", "judge"),
    "plug-and-play": ("features", "attention", "block"),
}


def edit_images(cmd: EditText) -> list[Path]:
    """Edit with every model and return the files written, the strip first."""
    for spec in cmd.models:
        parse_model(spec).check()
    if cmd.image is not None:
        open_photo(cmd.image)
    rows, settings = [], {}
    for spec in cmd.models:
        bundle = load_model(spec, cmd.device, cmd.dtype)
        sampling = sampling_of(bundle, cmd.steps, cmd.guidance)
        if cmd.image is not None:
            tell_typical(cmd, cmd.image, bundle, spec)
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
def tell_typical(cmd: EditText, image: Path, bundle: TextToImage, spec: str) -> None:
    """Say how typical the image is of those that a model has learned, under the source's prompt."""
    photo = photo_of(cmd, image, bundle)
    predict = bundle.predict(bundle.encode_text([cmd.source]))
    known = typical_of(parse_model(spec).source, photo.shape[-1])
    tell([f"{image.name}, {spec}"], one_step(bundle, predict, photo), known)


def photo_of(cmd: EditText, image: Path, bundle: TextToImage) -> Tensor:
    """Return the image (1, 3, H, W) in [-1, 1] at the size that is edited."""
    size = latent_shape(bundle, cmd.size)[1] * bundle.config.vae.factor
    return read_photo(image, cell(bundle), size)


@torch.no_grad()
def edits(cmd: EditText, bundle: TextToImage, sampling: Sampling, label: str) -> Tensor:
    """Return images (2 + targets, 3, H, W): the source, its reconstruction, an edit per target.

    In [-1, 1], on the CPU. Raises RuntimeError where one is not finite.
    """
    shape, sentences = latent_shape(bundle, cmd.size), given_sentences(cmd)
    if cmd.image is None:
        z_0, x_T, null = None, image_noise(cmd.seed, shape).to(bundle.device), None
    else:
        z_0 = bundle.encode(photo_of(cmd, cmd.image, bundle)).float()
        x_T, null = inverted(cmd, bundle, sampling, z_0)
    rebuilt = reconstruct(_editing(cmd, bundle, sampling, cmd.source, null), x_T)
    z_0 = rebuilt if z_0 is None else z_0
    draw = drawing([mix(cmd.seed, "sdedit")], z_0)
    found = [z_0, rebuilt]
    for target in progress(cmd.target, label=label, unit="edit"):
        edit = _editing(cmd, bundle, sampling, target, null)
        found.append(
            run_edit(
                edit, cmd.method, cmd, x_T, z_0, draw, cmd.reweight, cmd.blend_words, sentences
            )
        )
    images = torch.cat([bundle.decode(z).float().cpu() for z in found])
    if not images.isfinite().all():
        raise RuntimeError(f"{label}: an image is not finite")
    return images


def given_sentences(cmd: EditText) -> Sentences | None:
    """Return the sentences of both files, if given. Raises ValueError for an empty one."""
    if cmd.source_sentences is None or cmd.target_sentences is None:
        return None
    both = [tuple(read_lines(path)) for path in (cmd.source_sentences, cmd.target_sentences)]
    if not all(both):
        raise ValueError("source_sentences and target_sentences: got an empty file, wanted lines")
    return Sentences(source=both[0], target=both[1])


def inverted(
    cmd: EditText, bundle: TextToImage, sampling: Sampling, z_0: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return the noise x_T (1, C, h, w) behind an image's latent, and ∅_t (N, L, D) if fitted.

    SmoothS Eq. 4, with which the source is reconstructed at w; else by DDIM alone, at w = 1.
    """
    if cmd.inversion_method == "ddim":
        times = sampling_times(bundle, sampling.steps)
        return invert(bundle, z_0, [cmd.source], times, cmd.refine), None
    how = Inverting(method="null-text", steps=sampling.steps, guidance=sampling.guidance)
    texts = encode(bundle, [cmd.source])
    pivot = ascend(bundle, z_0, texts, how)
    nulls = [null for null, _ in null_texts(bundle, pivot, texts, how)]
    return pivot[0], torch.cat(nulls)


def source_guidance(cmd: EditText, sampling: Sampling) -> float:
    """Return the source's w: as given, else 1 for an image inverted by DDIM, else the target's."""
    if cmd.source_guidance is not None:
        return cmd.source_guidance
    plain = cmd.image is not None and cmd.inversion_method == "ddim"
    return 1.0 if plain else sampling.guidance


def about(cmd: EditText, sampling: Sampling) -> dict[str, object]:
    """Return what, besides the model, made the edits, for the record."""
    facts: dict[str, object] = {"method": cmd.method, "seed": cmd.seed}
    facts["source_guidance"] = source_guidance(cmd, sampling)
    if cmd.image is not None:
        facts |= {"image": cmd.image.name, "sha256": sha256(cmd.image)}
        facts |= {"inversion": cmd.inversion_method, "refine": cmd.refine}
    options = {name: getattr(cmd, name) for name in METHOD_OPTIONS[cmd.method]}
    return facts | {k: v.name if isinstance(v, Path) else v for k, v in options.items()}


def _editing(
    cmd: EditText, bundle: TextToImage, sampling: Sampling, target: str, null: Tensor | None
) -> TextEdit:
    own = source_guidance(cmd, sampling)
    return editing(bundle, [cmd.source], [target], sampling.steps, sampling.guidance, own, null)
