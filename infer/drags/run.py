"""`latentgeo drag`: one image is dragged, with an animation and a record of how the points went.

Files are `edited.png` (of the image's own size), `strip.png` (the image with handles and targets,
the image through the model, the edited one with the tracks and where the points are found again),
`drag.gif` and `drag.json`. What the drag did is measured, and printed (infer/drags/outcome.py).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from latentgeo.core.drag import rescale
from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.progress import progress
from latentgeo.infer.drags.defaults import dragging_of
from latentgeo.infer.drags.drag import Dragged, Dragging, Request, edit
from latentgeo.infer.drags.image import Picture, parse_points, read_picture, read_points
from latentgeo.infer.drags.outcome import Outcome, outcome, report
from latentgeo.infer.drags.settings import Drag
from latentgeo.infer.pictures.images import TILE, enlarge, grid, save_gif, save_png, to_picture
from latentgeo.infer.sampling.loading import load_model, loaded_hash, parse_model
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.perceptual import load_lpips

OPTIONS = (  # of the command that are settings of the drag by the same name
    *("steps", "strength", "iterations", "lr", "stage", "mask_weight", "protect", "tolerance"),
    "reference_layer",
)
FRAMES = 24  # of the animation, at most
HANDLE, TARGET, NOW, INK = (220, 40, 40), (40, 80, 220), (250, 220, 40), (255, 255, 255)
FOUND = (40, 180, 80)
COLUMNS = (
    "image: points from red to blue",
    "through the model",
    "edited: tracked to yellow, found again at green",
)
SHOWN = 4 * TILE  # smallest side of a picture with points on it, in pixels


def drag_image(
    cmd: Drag, shown: Callable[[Image.Image], None] = lambda frame: None
) -> list[str | Path]:
    """Drag the image, and return what it did, a line each, and the files written.

    `shown` gets each frame of the animation as soon as it is there.
    """
    parse_model(cmd.model).check()
    handles, targets = all_points(cmd)
    bundle = load_model(cmd.model, cmd.device, cmd.dtype, prediction=cmd.prediction)
    how = settings_of(cmd, bundle)
    picture = read_picture(cmd.image, bundle, cmd.size)
    request = requested(picture, handles, targets, cmd.mask)
    frames = Frames(bundle, picture, request, how, shown)
    with frames.bar:
        done = edit(bundle, picture.image, cmd.prompt, request, how, cmd.seed, frames.update)
    measured = outcome(load_lpips(), done, request, picture, cmd.mask is not None)
    write_run(cmd, cmd.out)
    about = {
        "image": cmd.image.name,
        "prompt": cmd.prompt,
        "seed": cmd.seed,
        "model": cmd.model,
        "weights": loaded_hash(bundle),
        "prediction": bundle.config.prediction,
        "settings": asdict(how),
        "version": version("latentgeo"),
    }
    result = {**about, **tracks_of(done, request, picture, measured)}
    strip = grid([strip_of(done, request, picture, measured)], column_labels=COLUMNS)
    return [
        *report(measured, how),
        save_png(cmd.out / "edited.png", in_full(done.edited, picture), about),
        save_png(cmd.out / "strip.png", strip, about),
        save_gif(cmd.out / "drag.gif", frames.pictures),
        atomic_write(cmd.out / "drag.json", json.dumps(result, indent=2) + "\n"),
    ]


def all_points(cmd: Drag) -> tuple[Tensor, Tensor]:
    """Return the handles and targets (n, 2) of the command line and of the file, in that order."""
    handles, targets = parse_points(cmd.point)
    if cmd.points is not None:
        more, to = read_points(cmd.points)
        handles, targets = handles + more, targets + to
    return torch.tensor(handles, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64)


def settings_of(cmd: Drag, bundle: TextToImage) -> Dragging:
    """Return the model's settings, with those that the command gives."""
    how = dragging_of(bundle)
    given = {name: getattr(cmd, name) for name in OPTIONS if getattr(cmd, name) is not None}
    adapter = {name: getattr(cmd, f"lora_{name}") for name in ("rank", "steps", "lr", "layers")}
    known = {name: value for name, value in adapter.items() if value is not None}
    return replace(how, identity=replace(how.identity, **known), **given)


def requested(picture: Picture, handles: Tensor, targets: Tensor, mask: Path | None) -> Request:
    """Return the request in the pixels of the image that is edited.

    Handles and targets (n, 2) are in pixels of the file. Raises ValueError as `Request` does, of
    points as they were given.
    """
    height, width = picture.given
    whole = Request(handles=handles, targets=targets, mask=torch.ones(height, width))
    return Request(
        handles=inside(rescale(whole.handles, picture.scale), picture),
        targets=inside(rescale(whole.targets, picture.scale), picture),
        mask=picture.mask(mask),
    )


def inside(points: Tensor, picture: Picture) -> Tensor:
    """Return points (n, 2) that scaling carried past the centres of the outer pixels, on them."""
    last = points.new_tensor([picture.scaled[1] - 1, picture.scaled[0] - 1])
    return points.clamp(min=0).minimum(last)


class Frames:
    """The animation: what the latent would become, some of the updates, with its points."""

    def __init__(
        self,
        bundle: TextToImage,
        picture: Picture,
        request: Request,
        how: Dragging,
        shown: Callable[[Image.Image], None] = lambda frame: None,
    ) -> None:
        self.bundle, self.picture, self.request, self.shown = bundle, picture, request, shown
        self.every = max(1, -(-how.iterations // FRAMES))
        self.pictures: list[Image.Image] = []
        self.bar = progress(total=how.iterations, label="dragging")

    def update(self, k: int, x_0: Tensor, handles: Tensor) -> None:
        """Take the k-th state: its predicted x̂_0 (1, C, h, w), handles (n, 2) in pixels."""
        self.bar.update(int(k > 0))
        if k % self.every and len(self.pictures) > 1:
            return
        with torch.no_grad():
            image = self.picture.cut(self.bundle.decode(x_0)[0].float().cpu())
        self.pictures.append(
            with_points(image, self.request.handles, self.request.targets, handles)
        )
        self.shown(self.pictures[-1])


def strip_of(
    done: Dragged, request: Request, picture: Picture, measured: Outcome
) -> list[Image.Image]:
    """Return the image, the same through the model, and the edited one, with their points."""
    source = picture.cut(picture.image[0])
    return [
        with_points(source, request.handles, request.targets),
        with_points(picture.cut(done.original), request.handles, request.targets),
        with_points(
            picture.cut(done.edited),
            request.handles,
            request.targets,
            done.moved.tracks[-1],
            done.moved.tracks,
            measured.found.points,
        ),
    ]


def with_points(
    image: Tensor,
    handles: Tensor,
    targets: Tensor,
    now: Tensor | None = None,
    tracks: Sequence[Tensor] = (),
    found: Tensor | None = None,
) -> Image.Image:
    """Return a picture of an image (3, H, W), enlarged, with points in pixels and their tracks."""
    small = to_picture(image)
    large = enlarge(small, SHOWN)
    zoom = large.width // small.width
    draw = ImageDraw.Draw(large)
    radius = max(2, large.width // 100)

    def at(point: Tensor) -> tuple[float, float]:
        x, y = ((point + 0.5) * zoom).tolist()
        return x, y

    for handle, target in zip(handles, targets, strict=True):
        draw.line([at(handle), at(target)], fill=INK, width=1)
    for i in range(len(handles) if tracks else 0):
        draw.line([at(points[i]) for points in tracks], fill=NOW, width=2)
    for points, colour in ((handles, HANDLE), (targets, TARGET), (now, NOW), (found, FOUND)):
        for x, y in [] if points is None else map(at, points):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour, INK)
    return large


def in_full(image: Tensor, picture: Picture) -> Image.Image:
    """Return an edited image (3, H, W) as a picture of the size that the file has."""
    found = to_picture(picture.cut(image))
    size = (picture.given[1], picture.given[0])
    return found if found.size == size else found.resize(size, Image.Resampling.LANCZOS)


def tracks_of(
    done: Dragged, request: Request, picture: Picture, measured: Outcome
) -> dict[str, object]:
    """Return the record of a drag, its points in the pixels of the image's file."""
    back = 1 / picture.scale
    tracks = [rescale(points.double(), back).tolist() for points in done.moved.tracks]
    return {
        "handles": rescale(request.handles, back).tolist(),
        "targets": rescale(request.targets, back).tolist(),
        "tracks": tracks,
        "distance_left": measured.believed,
        "found": rescale(measured.found.points.double(), back).tolist(),
        "likeness": measured.found.likeness.tolist(),
        "likeness_elsewhere": measured.found.elsewhere.tolist(),
        "distance_found": measured.left,
        "psnr_without_drag": measured.psnr,
        "outside": {
            "masked": measured.masked,
            "changed": measured.moved,
            "error_without_drag": measured.error,
        },
        "updates": len(done.moved.losses),
        "losses": done.moved.losses,
    }
