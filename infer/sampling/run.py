"""`latentgeo sample`: a model of prompts or one without text draws, each in its own way."""

from pathlib import Path

from latentgeo.infer.sampling.loading import parse_model
from latentgeo.infer.sampling.sample import sample_prompted
from latentgeo.infer.sampling.sample_unprompted import sample_unprompted
from latentgeo.infer.sampling.settings import Sample
from latentgeo.models.formats.load_image import image_layout


def sample_images(cmd: Sample) -> Path:
    """Draw and return the grid's file; the images are beside it, a PNG each.

    Raises ValueError for options of the other kind of model.
    """
    unprompted = image_layout(parse_model(cmd.model).source) is not None
    return (sample_unprompted if unprompted else sample_prompted)(cmd)[-1]
