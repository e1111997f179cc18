"""Walks from prompt to prompt, their tokens paired by a coupling.

Paper: The Role of Embedding Geometry in Image Interpolation for Stable Diffusion (poster; the full
version is arXiv 2511.12757). Between two prompts the context of every frame is a displacement of
the one cloud of tokens to the other; the unconditional context ∅ stays as it is, in its own order.

Notation  K prompts, L tokens each (the text encoder's length, padding included), F frames
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core import couplings, ddim
from latentgeo.core.run.seeds import generator
from latentgeo.core.transport import prompt_walk
from latentgeo.infer.sampling.pipeline import Sampling, contextual_predict, decoded, sampling_times
from latentgeo.models.bundles.text_to_image import TextToImage


@dataclass(frozen=True, kw_only=True)
class Clouds:
    """The embeddings of K prompts as clouds of tokens, on the CPU."""

    points: Tensor  # (K, L, D), in the order of the tokens
    real: Tensor  # (K,) how many of them are not padding: start, text and the first end

    def legs(self) -> tuple["Clouds", "Clouds"]:
        """Return where each leg of a walk through all prompts begins and ends, K - 1 of both."""
        begin = Clouds(points=self.points[:-1], real=self.real[:-1])
        return begin, Clouds(points=self.points[1:], real=self.real[1:])


Couple = Callable[[Clouds, Clouds, int], Tensor]  # K clouds, K clouds, a seed -> (K, L)
COUPLINGS: dict[str, Couple] = {
    "index": lambda a, b, seed: couplings.index(a.points),
    "optimal": lambda a, b, seed: couplings.optimal(a.points, b.points),
    "partial": lambda a, b, seed: couplings.partial(a.points, b.points, a.real, b.real),
    "random": lambda a, b, seed: couplings.random(a.points, generator(seed, "coupling")),
    "worst": lambda a, b, seed: couplings.worst(a.points, b.points),
}


@torch.no_grad()
def clouds_of(bundle: TextToImage, prompts: Sequence[str]) -> Clouds:
    """Return the clouds of prompts; an empty one is a start, an end and padding.

    Warns of each prompt that is cut, and of what. Raises ValueError where an embedding is not
    finite.
    """
    counts = [_real_tokens(bundle, prompt) for prompt in prompts]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* texts are longer than", category=UserWarning)
        points = bundle.encode_text(prompts).cpu()
    for prompt, cloud in zip(prompts, points, strict=True):
        if not cloud.isfinite().all():
            raise ValueError(f"prompts: the embedding of {prompt!r} is not finite")
    return Clouds(points=points, real=torch.tensor(counts))


def context_walk(clouds: Clouds, name: str, frames: int, seed: int) -> Tensor:
    """Return the contexts (F, L, D) of a walk through all prompts, F = (K - 1)(frames - 1) + 1.

    OT Sec. 2.2   tokens are paired off, then interpolated linearly

    Raises ValueError for a coupling that there is not.
    """
    if name not in COUPLINGS:
        raise ValueError(f"coupling: got {name!r}, wanted one of {', '.join(COUPLINGS)}")
    sigma = COUPLINGS[name](*clouds.legs(), seed)
    return prompt_walk(clouds.points, sigma, frames)


@torch.no_grad()
def images_of(bundle: TextToImage, x_T: Tensor, context: Tensor, sampling: Sampling) -> Tensor:
    """Return the images (N, 3, H, W) in [-1, 1], on the CPU, of latents and contexts (N, L, D).

    DDIM without fresh noise: ValueError on another η.
    """
    if len(x_T) != len(context) or sampling.eta != 0:
        raise ValueError(
            f"x_T and context: got {len(x_T)} and {len(context)} with eta {sampling.eta}, "
            "wanted as many of both and eta 0"
        )
    null = bundle.encode_text([sampling.negative])  # (1, L, D)
    visited = sampling_times(bundle, sampling.steps)
    images = []
    for start in range(0, len(x_T), sampling.batch):
        part = slice(start, start + sampling.batch)
        here = context[part].to(bundle.device)
        predict = contextual_predict(bundle, here, null, sampling)
        z = ddim.sample(predict, bundle.schedule, x_T[part].to(bundle.device), visited)
        images.append(decoded(bundle, z, start))
    return torch.cat(images)


def _real_tokens(bundle: TextToImage, prompt: str) -> int:
    """Return how many tokens of a prompt are not padding, and warn of what is cut off."""
    tokenizer = bundle.tokenizer
    ids, room = tokenizer.encode(prompt), tokenizer.context - 2
    if len(ids) > room:
        lost = [token for token in ids[room:] if token < tokenizer.vocabulary_size]
        warnings.warn(
            f"prompt {prompt[:40]!r}: {len(ids) + 2} tokens, {tokenizer.context} fit; cut off: "
            f"{tokenizer.decode(lost)!r}",
            stacklevel=3,
        )
    return min(len(ids), room) + 2
