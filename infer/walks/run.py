"""`latentgeo interpolate`: between two seeds, between prompts, or between two images."""

from pathlib import Path

from latentgeo.core.run.limits import each_once
from latentgeo.infer.pictures.video import find_ffmpeg
from latentgeo.infer.sampling.loading import parse_model
from latentgeo.infer.walks.photos import interpolate_photos
from latentgeo.infer.walks.prompts import interpolate_prompts
from latentgeo.infer.walks.seeds import interpolate_seeds
from latentgeo.infer.walks.settings import Interpolate


def interpolate_images(cmd: Interpolate) -> list[Path]:
    """Walk as asked and return the files written; errors are those of `check_walk` and below."""
    check_walk(cmd)
    if cmd.images:
        return interpolate_photos(cmd)
    return interpolate_prompts(cmd) if cmd.prompts else interpolate_seeds(cmd)


def check_walk(cmd: Interpolate) -> None:
    """Raise, before long work, where a model is not there or ffmpeg is wanted and is not.

    FileNotFoundError for these, ValueError for no models or one named twice.
    """
    each_once(cmd, "models")
    for spec in cmd.models:
        parse_model(spec).check()
    if cmd.mp4:
        find_ffmpeg()
