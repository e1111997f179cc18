"""Drag editing of a real image: handle points go to target points, and take the image with them.

DragDiffusion (Shi et al., arXiv 2306.14435): identity LoRA (infer/drags/identity.py), DDIM
inversion to a middle time t, optimisation of the latent there, denoising with the original image's
K and V.

Notation   z_t (1, C, h, w) the inverted latent, ẑ_t the one that is moved; F features of a decoder
           layer, brought to a map with `cell` image pixels to a cell; points (n, 2) are (x, y) in
           pixels of the image, (0, 0) the centre of its first pixel; M (H, W) is 1 where it may
           change.
Guidance   w = 1: the conditional model alone, in every part.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core import ddim, drag
from latentgeo.core.parameterization import eps_from, x_0_from_eps
from latentgeo.core.schedule import batch_time
from latentgeo.infer.drags.identity import Identity, identity_lora
from latentgeo.infer.sampling.pipeline import network, sampling_times
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.decoder_features import (
    check_stage,
    predict_with_features,
    second_last_stage,
)
from latentgeo.models.reference_attention import first_fine_layer, reference_attention

FADE = 3  # pixels inside the mask over which the original goes over into the edited image
OnUpdate = Callable[[int, Tensor, Tensor], None]  # (k, x̂_0 (1, C, h, w), handles (n, 2) in pixels)


@dataclass(frozen=True, kw_only=True)
class Dragging:
    """How an image is dragged. The defaults are the released ones, for Stable Diffusion 1.5."""

    steps: int = 50  # of DDIM from T to 0
    strength: float = 0.7  # share of them that is inverted; they end at t
    refine: int = 0  # fixed-point rounds of an inversion step; 0 is the released inversion
    iterations: int = 80  # updates of the latent, at most
    lr: float = 0.01  # η of Adam
    stage: int | None = None  # of the decoder whose output is F; None is the second last
    cell: float = 2.0  # image pixels to a cell of the feature map, a side
    motion_radius: int = 1  # r_1 (released: r_m), cells
    track_radius: float = 3.0  # r_2 (released: r_p), cells
    mask_weight: float = 0.1  # λ
    tolerance: float = 2.0  # cells between handle and target at which a handle is done
    reference_layer: int | None = None  # first self-attention with the original's K and V
    reference_step: int = 0  # denoising step from which they are taken
    protect: bool = False  # put the original back where M is 0: latent and pixels
    identity: Identity = field(default_factory=Identity)

    def __post_init__(self) -> None:
        """Refuse what no drag could use, each value by its name."""
        for name in ("steps", "iterations", "lr", "cell", "track_radius", "tolerance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("refine", "motion_radius", "mask_weight", "reference_step"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 1 <= round(self.steps * self.strength) <= self.steps:
            raise ValueError(
                f"strength: got {self.strength}, wanted 1 to all of {self.steps} steps"
            )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be moved: handles and targets (n, 2) in pixels, the mask M (H, W)."""

    handles: Tensor
    targets: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        """Refuse points that do not pair up, lie outside the image or are to stay."""
        size = torch.tensor([self.mask.shape[1], self.mask.shape[0]])
        if self.handles.shape != self.targets.shape or not len(self.handles):
            got = f"{len(self.handles)} and {len(self.targets)}"
            raise ValueError(f"point: got {got} handles and targets, wanted as many, 1 or more")
        for name in ("handles", "targets"):
            points = getattr(self, name)
            if not bool(((points >= 0) & (points <= size - 1)).all()):
                raise ValueError(
                    f"point: got {name} {points.tolist()}, wanted x in 0 to {size[0] - 1} and "
                    f"y in 0 to {size[1] - 1}, pixels of the image"
                )
        if bool((staying := (self.handles == self.targets).all(dim=1)).any()):
            raise ValueError(
                f"point: got {self.handles[staying][0].tolist()} as a handle and its target, "
                "wanted another target"
            )


@dataclass(frozen=True, kw_only=True)
class Dragged:
    """The result: images (3, H, W) in [-1, 1], and how the handles went."""

    original: Tensor  # the image through the model, which the edited one is to be compared with
    edited: Tensor
    decoded: Tensor  # the edited one before its protected pixels were put back
    moved: "Moved"


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A latent after its optimisation, and the way there."""

    z: Tensor  # ẑ_t (1, C, h, w)
    tracks: list[Tensor]  # handles (n, 2) in pixels at the start and before every later update
    losses: list[float]


def edit(
    bundle: TextToImage,
    image: Tensor,
    prompt: str,
    request: Request,
    how: Dragging,
    seed: int = 0,
    on_update: OnUpdate | None = None,
) -> Dragged:
    """Return what a drag makes of an image (1, 3, H, W) in [-1, 1], and the way there.

    Drag Sec. 3.2   identity LoRA, inversion, optimisation of the latent, denoising with K and V

    `on_update` hears of every state of the latent. Raises RuntimeError where the edited image is
    not finite.
    """
    image = image.to(bundle.device, bundle.dtype)
    with torch.no_grad():
        context, z_0 = bundle.encode_text([prompt]), bundle.encode(image).float()
    with identity_lora(bundle, image, context, how.identity, seed):
        z_t = invert(bundle, z_0, context, how)
        moved = optimise(bundle, z_t, context, request, how, on_update)
        latents = denoise(bundle, z_t, moved.z, context, request.mask, how)
    with torch.no_grad():
        original, decoded = bundle.decode(torch.cat(latents)).float().cpu()
    if not bool(decoded.isfinite().all()):
        raise RuntimeError("the edited image is not finite; a smaller --lr may help")
    edited = put_back(decoded, original, request.mask) if how.protect else decoded
    return Dragged(original=original, edited=edited, decoded=decoded, moved=moved)


def put_back(decoded: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Return an image (3, H, W) that is `decoded` where M (H, W) is 1, fading out at its edge.

    Equal latents do not decode to equal pixels: the decoder's attention and norms see all of them.
    """
    around = F.avg_pool2d(mask[None], 2 * FADE + 1, 1, FADE, count_include_pad=False)[0]
    return torch.lerp(original, decoded, mask * around)


def drag_times(bundle: TextToImage, how: Dragging) -> tuple[int, ...]:
    """Return the descending times from t, the highest that is inverted to, to the last."""
    return sampling_times(bundle, how.steps)[how.steps - round(how.steps * how.strength) :]


@torch.no_grad()
def invert(bundle: TextToImage, z_0: Tensor, context: Tensor, how: Dragging) -> Tensor:
    """Return z_t (1, C, h, w) of a clean latent by DDIM inversion under its caption.

    Drag Sec. 3.4   z_t is DDIM-inverted from the encoded image
    """
    visited = drag_times(bundle, how)
    eps = network(bundle)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return eps(x_t, t, context)

    if how.refine:
        return ddim.invert(predict, bundle.schedule, z_0, visited, how.refine)
    return ddim.invert_official(predict, bundle.schedule, z_0, visited)


class Latent:
    """What the optimisation sees of a latent at t: its features, its x̂_0, and one step below."""

    def __init__(
        self, bundle: TextToImage, context: Tensor, how: Dragging, size: tuple[int, int]
    ) -> None:
        self.bundle, self.context = bundle, context
        self.t, self.t_prev = drag_times(bundle, how)[:2]
        self.stage = second_last_stage(bundle.unet) if how.stage is None else how.stage
        check_stage(bundle.unet, self.stage)
        self.cells = (max(1, round(size[0] / how.cell)), max(1, round(size[1] / how.cell)))

    def look(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return F (C, H', W') at the map's size, ẑ_{t-1} and x̂_0 (1, C, h, w) of ẑ_t = z."""
        schedule, dtype = self.bundle.schedule, self.bundle.dtype
        t, t_prev = batch_time(self.t, z), batch_time(self.t_prev, z)
        raw, features = predict_with_features(
            self.bundle.unet, z.to(dtype), t - 1, self.context, self.stage
        )
        eps = eps_from(schedule, z, raw.to(z.dtype), t, self.bundle.config.prediction)
        map_ = F.interpolate(features.to(z.dtype), size=self.cells, mode="bilinear")[0]
        below = ddim.step(schedule, z, eps, t, t_prev)
        return map_, below, x_0_from_eps(schedule, z, eps, t)


def optimise(
    bundle: TextToImage,
    z_t: Tensor,
    context: Tensor,
    request: Request,
    how: Dragging,
    on_update: OnUpdate | None = None,
) -> Moved:
    """Return ẑ_t, moved from z_t (1, C, h, w) until the handles have arrived or time is up.

    Drag Eq. 3   L_ms, the motion supervision of the handles still on their way, and the mask term
    Drag Eq. 4   ẑ^{k+1}_t = ẑ^k_t - η ∂L_ms/∂ẑ^k_t, by Adam as released
    Drag Eq. 5   then every handle is looked for in the new features
    """
    latent = Latent(bundle, context, how, (request.mask.shape[0], request.mask.shape[1]))
    scale, handles, targets = on_the_map(latent.cells, request, z_t)
    mask = latent_mask(request.mask, z_t)
    with torch.no_grad():
        features, below_0, _ = latent.look(z_t)
        templates = drag.sample(features, handles)
    z = z_t.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=how.lr)
    tracks, losses = [request.handles], []
    for k in count():
        features, below, x_0 = latent.look(z)
        if k:
            handles = drag.track(features.detach(), templates, handles, how.track_radius)
            tracks.append(drag.rescale(handles, 1 / scale).cpu())
        if on_update is not None:
            on_update(k, x_0.detach(), tracks[-1])
        moving = ~drag.arrived(handles, targets, how.tolerance)
        if k == how.iterations or not bool(moving.any()):
            break
        steps = drag.directions(handles, targets)
        loss = drag.motion_supervision_official(
            features, handles[moving], steps[moving], how.motion_radius
        ) + how.mask_weight * drag.mask_penalty(below, below_0, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Moved(z=z.detach(), tracks=tracks, losses=losses)


def on_the_map(
    cells: tuple[int, int], request: Request, like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scale (2,) from pixels to cells, and handles and targets (n, 2) on the map."""
    height, width = request.mask.shape
    scale = torch.tensor([cells[1] / width, cells[0] / height])
    points = [drag.rescale(p.float(), scale).to(like) for p in (request.handles, request.targets)]
    return scale.to(like), *points  # type: ignore[return-value]


def latent_mask(mask: Tensor, like: Tensor) -> Tensor:
    """Return M (h, w) at the latent's resolution: 1 where most of a cell's pixels may change."""
    size = (int(like.shape[-2]), int(like.shape[-1]))
    share = F.interpolate(mask[None, None].float(), size=size, mode="area")[0, 0]
    return (share >= 0.5).to(like)


@torch.no_grad()
def denoise(
    bundle: TextToImage, z_t: Tensor, z: Tensor, context: Tensor, mask: Tensor, how: Dragging
) -> tuple[Tensor, Tensor]:
    """Return z_0 (1, C, h, w) of the original, from z_t, and of the edited image, from ẑ_t = z.

    Drag Sec. 3.5   both are denoised side by side; the edited one attends to the original's K, V
    """
    visited = drag_times(bundle, how)
    first = first_fine_layer(bundle.unet) if how.reference_layer is None else how.reference_layer
    predict, pair = network(bundle), torch.cat([z_t, z])
    both = context.expand(2, -1, -1)
    kept = latent_mask(mask, z) if how.protect else None
    for i, (t, t_prev) in enumerate(pairwise(visited)):
        now, after = batch_time(t, pair), batch_time(t_prev, pair)
        layers = first if i >= how.reference_step else None
        with reference_attention(bundle.unet, layers):
            eps = predict(pair, now, both)
        pair = ddim.step(bundle.schedule, pair, eps, now, after)
        if kept is not None:
            pair = torch.cat([pair[:1], torch.where(kept > 0, pair[1:], pair[:1])])
    return pair[:1], pair[1:]
