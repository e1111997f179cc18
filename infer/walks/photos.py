"""`latentgeo interpolate --images A B`: the walk between two real images, and its baselines.

Smooth Diffusion, Fig. 3 and supplement A.4: both images are inverted with one shared sequence ∅_t,
the noises are joined by slerp, and every frame is sampled with the same ∅_t. Beside it the two
methods the paper compares with: straight lines between the autoencoder's latents, and ANID. Prompts
that differ are joined by lerp of their embeddings, as in the released code. The inversions are kept
as files in the folder `inversions`.

Notation  frames F at ratios η = i / (F-1); context (F, L, D), the text embedding of each
"""

from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core import anid, ddim
from latentgeo.core.guidance import guided
from latentgeo.core.interpolate import lerp, sweep
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, late_times
from latentgeo.infer.inversion.invert import Inverting, Texts, back, encode
from latentgeo.infer.inversion.run import Inversion, inverted
from latentgeo.infer.pictures.photos import read_photos
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import Sampling, cell, network, sampling_of, sampling_times
from latentgeo.infer.sampling.sample import record
from latentgeo.infer.walks.settings import Interpolate
from latentgeo.infer.walks.walk import Walk, noise_walk, write_walks
from latentgeo.models.bundles.text_to_image import TextToImage


def interpolate_photos(cmd: Interpolate) -> list[Path]:
    """Walk between the two images with every model and baseline and return the files written."""
    walks, first = [], None
    for spec in cmd.models:
        bundle = load_model(spec, cmd.device, cmd.dtype)
        first = first or (spec, bundle)
        walks.append(null_text_walk(cmd, spec, bundle))
    assert first is not None  # check_walk saw a model
    made = {"vae": vae_walk, "anid": anid_walk}
    walks += [made[name](cmd, *first) for name in cmd.baseline]
    about = {"images": [path.name for path in cmd.images], "prompts": prompts_of(cmd)}
    return write_walks(cmd, walks, about)


def prompts_of(cmd: Interpolate) -> list[str]:
    """Return the prompt of each end."""
    return list(cmd.prompts) or [cmd.prompt or ""] * 2


def null_text_walk(cmd: Interpolate, spec: str, bundle: TextToImage) -> Walk:
    """Return the walk between the two noises that lead back to the images.

    SmoothS Eq. 5     one ∅_t for both images, and for all frames
    Smooth Sec. 4.2   11 images by slerp
    """
    sampling = sampling_of(bundle, cmd.steps, cmd.guidance, batch=cmd.batch)
    how = Inverting(method="null-text", steps=sampling.steps, guidance=sampling.guidance)
    photos = read_photos(list(cmd.images), cell(bundle), cmd.size)
    _, found = inverted(
        bundle, spec, cmd.images, photos, prompts_of(cmd), how, cmd.out / "inversions"
    )
    texts = frame_texts(bundle, prompts_of(cmd), cmd.frames)
    images = frames_of(bundle, found, texts, cmd)
    return Walk(spec, images, {**record(bundle, spec, sampling, cmd.size), **how.plain()})


@torch.no_grad()
def frames_of(bundle: TextToImage, found: Inversion, texts: Texts, cmd: Interpolate) -> Tensor:
    """Return the images (F, 3, H, W) of the walk between the two noises of an inversion.

    SmoothS Eq. 3   ε^η = slerp(ε^a, ε^b, η)
    """
    noise = noise_walk(found.noise[:1], found.noise[1:], cmd.frames).to(bundle.device)
    nulls = None if found.nulls is None else found.nulls.to(bundle.device)
    images = []
    with progress(total=cmd.frames, label="walking between images", unit="image") as bar:
        for start in range(0, cmd.frames, cmd.batch):
            part = slice(start, start + cmd.batch)
            z = back(bundle, noise[part], texts.of(part), nulls, found.how)
            images.append(bundle.decode(z).float().cpu())
            bar.update(len(z))
    return torch.cat(images)


def frame_texts(bundle: TextToImage, prompts: list[str], frames: int) -> Texts:
    """Return the embeddings of every frame, on the straight line between the prompts' two."""
    texts = encode(bundle, prompts)
    return Texts(sweep(texts.context[:1], texts.context[1:], frames, lerp)[:, 0], texts.null)


@torch.no_grad()
def vae_walk(cmd: Interpolate, spec: str, bundle: TextToImage) -> Walk:
    """Return the walk on the straight line between the autoencoder's latents of the images.

    Smooth Sec. 4.2   VAE Inter., a baseline
    """
    z = bundle.encode(read_photos(list(cmd.images), cell(bundle), cmd.size)).float()
    line = sweep(z[:1], z[1:], cmd.frames, lerp)[:, 0]
    images = [bundle.decode(part).float().cpu() for part in line.split(cmd.batch)]
    return Walk("vae", torch.cat(images), {"model": spec, "path": "lerp of the VAE's latents"})


@torch.no_grad()
def anid_walk(cmd: Interpolate, spec: str, bundle: TextToImage) -> Walk:
    """Return the walk whose frames are noised, joined and denoised level by level.

    ANID Sec. 4.1     a frame is denoised from between its two parents, noised alike; the coarsest
                      level the highest
    Smooth Sec. 4.2   another baseline
    """
    sampling = sampling_of(bundle, anid.STEPS, cmd.guidance, batch=cmd.batch)
    texts = frame_texts(bundle, prompts_of(cmd), cmd.frames)
    z = bundle.encode(read_photos(list(cmd.images), cell(bundle), cmd.size)).float()
    eps = torch.randn(1, *z.shape[1:], generator=generator(cmd.seed, "anid")).to(z)
    made = {0: z[:1], cmd.frames - 1: z[1:]}
    levels = anid.branches(cmd.frames)
    with progress(total=cmd.frames - 2, label=f"ANID {spec}", unit="image") as bar:
        for level, share in zip(levels, anid.shares(len(levels)), strict=True):
            made |= _level(bundle, made, level, share, eps, texts, sampling)
            bar.update(len(level))
    line = torch.cat([made[i] for i in range(cmd.frames)])
    images = [bundle.decode(part).float().cpu() for part in line.split(cmd.batch)]
    return Walk("anid", torch.cat(images), record(bundle, spec, sampling, cmd.size))


def _level(
    bundle: TextToImage,
    made: dict[int, Tensor],
    level: list[anid.Branch],
    share: float,
    eps: Tensor,
    texts: Texts,
    sampling: Sampling,
) -> dict[int, Tensor]:
    """Return the clean latents of one level's frames, `sampling.batch` at a time."""
    visited = late_times(sampling_times(bundle, sampling.steps), share)
    t = batch_time(visited[0], eps)
    found: dict[int, Tensor] = {}
    for start in range(0, len(level), sampling.batch):
        part = level[start : start + sampling.batch]
        noisy = [
            anid.halfway(bundle.schedule, made[a], made[b], (m - a) / (b - a), eps, t)
            for a, m, b in part
        ]
        own = texts.context[[m for _, m, _ in part]]
        predict = guided(network(bundle), own, texts.null, sampling.guidance)
        z = ddim.sample(predict, bundle.schedule, torch.cat(noisy), visited)
        found |= {m: row[None] for (_, m, _), row in zip(part, z, strict=True)}
    return found
