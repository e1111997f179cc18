"""A tiny model without text, with directions of its own."""

from pathlib import Path

import torch

from latentgeo.models.bundles.delta_h import new_direction
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.formats.delta_file import Purpose, write_direction
from tests.models.bundles.test_image_model import CONFIGS, made

DIRECTIONS = ("glasses", "smile")


def write_face_model(folder: Path) -> None:
    """Write it to a folder."""
    model = made(CONFIGS["ddpm"])
    save_image_model(model, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name in DIRECTIONS:
            direction = new_direction(model)
            for weight in direction.parameters():
                torch.nn.init.normal_(weight, std=0.5)
            about = Purpose(name=name, source="a", target="b", similarity=0.9, S=7, t_edit=500)
            write_direction(folder / "directions" / f"{name}.safetensors", direction, about)
