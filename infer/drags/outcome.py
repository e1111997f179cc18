"""What a drag did: where its points are, what the model lost before it, and what else moved.

Pixels `outside` are those that the mask keeps or, without a mask, those that are further from the
way of each point than that way is long. How much they changed is told beside the error that the
model makes there without a drag: what is above it, the drag moved.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.infer.drags.drag import Dragged, Dragging, Request
from latentgeo.infer.drags.image import Picture
from latentgeo.infer.drags.matching import Found, found_again
from latentgeo.infer.pictures.closeness import psnr
from latentgeo.models.perceptual import Lpips


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The measures of one drag; distances are in pixels of the image's file."""

    found: Found  # the features of the handles again, in pixels of the image that is edited
    start: list[float]  # distances to the targets, before
    left: list[float]  # after, by `found`
    believed: list[float]  # after, by the drag's own tracker
    psnr: float  # dB, of the image through the model without a drag, to the image
    moved: float  # mean change of the pixels outside, of 255; before they are put back
    error: float  # the same of the image through the model
    masked: bool  # whether a mask says what is outside


@torch.no_grad()
def outcome(
    judge: Lpips, done: Dragged, request: Request, picture: Picture, masked: bool
) -> Outcome:
    """Return the measures of a drag of a picture; `masked`: M is of a file."""
    source = picture.cut(picture.image[0]).float().cpu()
    original, edited, decoded = map(picture.cut, (done.original, done.edited, done.decoded))
    found = found_again(judge, original, edited, request.handles, request.targets)
    outside = picture.cut(request.mask[None])[0] < 0.5 if masked else away(request, original)

    def distances(points: Tensor) -> list[float]:
        return ((points.double() - request.targets) / picture.scale).norm(dim=1).tolist()

    return Outcome(
        found=found,
        start=distances(request.handles),
        left=distances(found.points),
        believed=distances(done.moved.tracks[-1]),
        psnr=psnr(original[None].clamp(-1, 1), source[None]).item(),
        moved=change(decoded, original, outside),
        error=change(original, source, outside),
        masked=masked,
    )


def away(request: Request, image: Tensor) -> Tensor:
    """Return which pixels (H, W) are further from each point's way than that way is long."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in image.shape[-2:]), indexing="ij")
    places = torch.stack([x, y], dim=-1)[..., None, :].to(request.handles)  # (H, W, 1, 2)
    way = request.targets - request.handles  # (n, 2)
    share = ((places - request.handles) * way).sum(-1) / way.square().sum(-1)
    nearest = request.handles + share.clamp(0, 1)[..., None] * way
    return ((places - nearest).norm(dim=-1) > way.norm(dim=-1)).all(dim=-1)


def change(image: Tensor, other: Tensor, where: Tensor) -> float:
    """Return the mean |difference| of images (3, H, W) where (H, W) is true, of 255; 0 of none."""
    gap = (image.clamp(-1, 1) - other.clamp(-1, 1)).abs().mean(dim=0)[where] * 127.5
    return gap.mean().item() if len(gap) else 0.0


def report(found: Outcome, how: Dragging) -> Iterator[str]:
    """Yield what a user is told, a line each: the model's error, the points, what else moved."""
    yield f"without a drag, the image comes back from the model with a PSNR of {found.psnr:.1f} dB"
    for i in range(len(found.start)):
        yield of_point(found, i)
    place = "where the mask keeps them" if found.masked else "further from the points than they go"
    line = f"pixels {place} changed by {found.moved:.1f} of 255"
    if found.masked and how.protect:
        yield f"{line} and were put back"
    elif found.moved <= found.error:
        yield f"{line}, no more than the model's own error, {found.error:.1f}"
    else:
        keep = "--protect puts them back" if found.masked else "--mask says what is to stay"
        yield (
            f"{line}, the model's own error is {found.error:.1f}: {keep}, and a smaller step "
            f"(--lr {how.lr / 2:g}) may move less"
        )


def of_point(found: Outcome, i: int) -> str:
    """Return what a user is told of the i-th point."""
    like, rival = found.found.likeness[i], found.found.elsewhere[i]
    line = f"point {i + 1}: {found.start[i]:.1f} pixels from its target before, "
    own = f"the drag's own tracker says {found.believed[i]:.1f}"
    if not found.found.lost[i]:
        return f"{line}{found.left[i]:.1f} after, by its features (likeness {like:.2f}); {own}"
    return (
        f"{line}not found again: likeness {like:.2f} at most, where another place of the image "
        f"had {rival:.2f}. What was there is lost, or was not distinct; {own}"
    )
