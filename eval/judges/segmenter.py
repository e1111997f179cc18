"""`latentgeo eval-segmenter`: what a segmenter sees of held-out faces, beside their exact masks.

Both numbers are those of segmentation consistency (eval/metrics/segmentation.py), here of the
segmentation and the mask; what a segmenter gets wrong limits what its consistency can say.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.eval.judges.settings import EvalSegmenter
from latentgeo.eval.metrics.heldout import at_hand
from latentgeo.eval.metrics.segmentation import compared
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.infer.pictures.decoding import read_labels
from latentgeo.models.bundles.text_to_image import load_bundle
from latentgeo.models.judges.segmenter import load_segmenter

BATCH = 64


def evaluate_segmenter(cmd: EvalSegmenter) -> list[Result]:
    """Measure, write results.json, print the table; FileNotFoundError where no mask is there."""
    held, device = at_hand(cmd.data), pick_device(cmd.device)
    there = [i for i, name in enumerate(held.names) if _mask(cmd.masks, name).is_file()]
    if not there:
        raise FileNotFoundError(
            f"{cmd.masks}: no mask of a held-out face; latentgeo render-masks makes them"
        )
    held = held.at(there)
    model = load_segmenter(cmd.segmenter).to(device)
    parts = len(model.config.parts)
    exact = torch.stack([read_mask(_mask(cmd.masks, name), parts) for name in held.names])
    images = held.images(exact.shape[-1])
    if cmd.through_vae:
        images = through_autoencoder(images, device)
    write_run(cmd, cmd.out, {})
    found = compared(model.config.parts, model.read(images), exact)
    rows = {"pixel agreement": found.agreement, "mean IoU": found.iou}
    rows |= {f"IoU, {part}": share for part, share in found.by_part.items()}
    name = "avatars" if cmd.segmenter is None else cmd.segmenter.name
    settings = {"vae": cmd.through_vae}
    results = [result("", metric, name, one, 0, settings) for metric, one in rows.items()]
    write_results(cmd.out / "results.json", results)
    print(text_table(results))
    return results


def read_mask(path: Path, parts: int) -> Tensor:
    """Return numbers (H, W), int64, below `parts` of a mask; ValueError that names another file."""
    with path.open("rb") as file:
        return torch.from_numpy(np.array(read_labels(file, str(path), parts))).long()


@torch.no_grad()
def through_autoencoder(images: Tensor, device: torch.device) -> Tensor:
    """Return images (N, 3, H, W) as the embedded model's autoencoder gives them back."""
    bundle = load_bundle("avatars", device)
    return torch.cat([bundle.decode(bundle.encode(part)).cpu() for part in images.split(BATCH)])


def _mask(folder: Path, name: str) -> Path:
    return folder / f"{Path(name).stem}.png"
