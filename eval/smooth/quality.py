"""`latentgeo eval-quality`: Fréchet distances, caption adherence and CLIP score of several models.

Files: `results.json`, and for each model a grid of its first samples.
"""

from pathlib import Path

from PIL import Image
from torch import Tensor

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import sha256
from latentgeo.eval.contenders import contender
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import draw_samples, load_judges, quality_results, references
from latentgeo.eval.runs.results import Result, text_table, write_results
from latentgeo.eval.smooth.settings import EvalQuality
from latentgeo.infer.pictures.images import grid, save_png, to_picture
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.formats.encoders import encoder_weights

SHOWN = 8  # samples per side of a grid


def evaluate_quality(cmd: EvalQuality) -> list[Result]:
    """Judge every model, write results and grids, print the table."""
    held = captioned(cmd.data, "test", cmd.models).chosen(cmd.n_images, cmd.seed)
    other = captioned(cmd.data, "train").chosen(cmd.n_images, cmd.seed)
    judges = load_judges(cmd.classifier, cmd.clip_model, cmd.inception, pick_device(cmd.device))
    contenders = [contender(cmd, spec, spec) for spec in cmd.models]
    write_run(cmd, cmd.out, judge_hashes(cmd.clip_model, cmd.inception))
    target, seen = references(contenders[0].bundle, judges, held, other)
    for one, name in zip(contenders, short_names(cmd.models), strict=True):
        label = f"sampling {one.name}"
        images = draw_samples(one.bundle, held.captions, one.sampling, cmd.seed, label)
        seen[one.name] = judges.judge(images, held.captions)
        save_png(cmd.out / f"{name}.png", grid(_square(images)), one.settings)
    settings = {one.name: one.settings for one in contenders}
    results = quality_results(target, seen, cmd.seed, settings, cmd.models[0])
    write_results(cmd.out / "results.json", results)
    print(text_table(results))
    return results


def judge_hashes(clip: Path | None, inception: Path | None) -> dict[str, str]:
    """Return the SHA-256 of the judges' files that are given, by the judges' names."""
    judged_by = {"clip": clip, "inception": inception}
    return {name: sha256(encoder_weights(path)) for name, path in judged_by.items() if path}


def _square(images: Tensor) -> list[list[Image.Image]]:
    """Return the first images as rows of pictures."""
    pictures = [to_picture(image) for image in images[: SHOWN * SHOWN]]
    return [pictures[i : i + SHOWN] for i in range(0, len(pictures), SHOWN)]
