"""A LoRA apart from any file: factors by layer, and the layers that a model has for them.

LoRA Sec. 4.1   ΔW = (α / r) B A

Names    layers are named as ours are: those of diffusers in the UNet, those of transformers without
         `text_model.` in the text encoder. A (r, in) and B (out, r); of a convolution A is
         (r, in, kh, kw) and B (out, r, 1, 1).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from latentgeo.models.bundles.learned_tokens import add_tokens, token_faults
from latentgeo.models.bundles.text_to_image import BundleConfig, TextToImage, empty_bundle
from latentgeo.models.formats.files.source import Shape
from latentgeo.models.formats.files.strict import refuse
from latentgeo.models.formats.ldm.names import Names, renamed, unet_names
from latentgeo.models.lora.adapter import DEFAULT, attach_state, set_scale
from latentgeo.models.lora.targets import layers

Part = Literal["unet", "text"]
PARTS: tuple[Part, ...] = ("unet", "text")


@dataclass(frozen=True)
class Factors:
    """The two factors of one layer; `alpha` None is the rank, which makes the scale 1."""

    A: Tensor
    B: Tensor
    alpha: float | None = None

    def __post_init__(self) -> None:
        """Check the ranks and α, and write an α that is the rank as None."""
        if self.A.ndim < 2 or self.B.ndim < 2 or self.A.shape[0] != self.B.shape[1]:
            shapes = f"A {tuple(self.A.shape)} and B {tuple(self.B.shape)}"
            raise ValueError(f"{shapes}, wanted A (r, in, ...) and B (out, r, ...)")
        if not self.rank:
            raise ValueError("the rank is 0, wanted 1 or more")
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"α is {self.alpha}, wanted a finite number above 0")
        if self.alpha == self.rank:
            object.__setattr__(self, "alpha", None)

    @property
    def rank(self) -> int:
        """The rank r."""
        return self.A.shape[0]

    @property
    def scale(self) -> float:
        """The factor α / r."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What a LoRA file says, in whatever grammar."""

    unet: Mapping[str, Factors] = field(default_factory=dict)  # by layer
    text: Mapping[str, Factors] = field(default_factory=dict)
    tokens: Mapping[str, Tensor] = field(default_factory=dict)  # learned ones and their vectors
    notes: Mapping[str, str] = field(default_factory=dict)  # what else the file says, in words

    def __iter__(self) -> Iterator[tuple[Part, str, Factors]]:
        """Yield every layer as (part, name, factors)."""
        for part in PARTS:
            for layer, factors in self.part(part).items():
                yield part, layer, factors

    def part(self, part: Part) -> Mapping[str, Factors]:
        """Return the layers of one network."""
        return self.unet if part == "unet" else self.text


@dataclass(frozen=True)
class Places:
    """The layers of a model that a LoRA can be on, with the shapes of their weights."""

    config: BundleConfig
    unet: Mapping[str, Shape]
    text: Mapping[str, Shape]

    def part(self, part: Part) -> Mapping[str, Shape]:
        """Return the layers of one network."""
        return self.unet if part == "unet" else self.text

    @cached_property
    def ldm(self) -> Names:
        """Latent Diffusion's names of the UNet's layers."""
        return renamed(unet_names(self.config.unet), self.unet)


def places_of(bundle: TextToImage) -> Places:
    """Return the layers of a model."""
    found = (
        {name: tuple(layer.weight.shape) for name, layer in layers(module).items()}
        for module in (bundle.unet, bundle.text)
    )
    return Places(bundle.config, *found)


def places_in(config: BundleConfig) -> Places:
    """Return the layers of a model of this shape, without the model."""
    return places_of(empty_bundle(config))


def reshaped(lora: Lora, places: Places) -> Lora:
    """Return the LoRA with factors as a model's layers have them, where only 1s are too many.

    A 1 × 1 convolution's factors may be written as matrices, and a linear layer's as 1 × 1.
    """
    parts: dict[Part, dict[str, Factors]] = {part: {} for part in PARTS}
    for part, layer, factors in lora:
        shape = places.part(part).get(layer)
        pair = [factors.A, factors.B]
        for i, wanted in enumerate(_wanted(shape, factors.rank) if shape else ()):
            if _matrix(pair[i].shape) == _matrix(wanted):
                pair[i] = pair[i].reshape(wanted)
        parts[part][layer] = replace(factors, A=pair[0], B=pair[1])
    return replace(lora, unet=parts["unet"], text=parts["text"])


def _wanted(shape: Shape, rank: int) -> tuple[Shape, Shape]:
    """Return the shapes of A and B on a layer whose weight is of this shape."""
    return (rank, *shape[1:]), (shape[0], rank, *[1] * (len(shape) - 2))


def _matrix(shape: Shape) -> Shape:
    """Return a weight's shape without a kernel of 1 × 1."""
    return tuple(shape[:2]) if tuple(shape[2:]) == (1, 1) else tuple(shape)


def misfits(lora: Lora, places: Places) -> list[str]:
    """Return what keeps a LoRA from fitting a model: layers, shapes, and learned tokens."""
    said = []
    for part, layer, factors in lora:
        shape = places.part(part).get(layer)
        if shape is None:
            said.append(f"there is no {part} layer {layer}")
            continue
        wanted = _wanted(shape, factors.rank)
        found = tuple(factors.A.shape), tuple(factors.B.shape)
        if found != wanted:
            said.append(
                f"{part} {layer} has A {found[0]} and B {found[1]}, wanted {wanted[0]} "
                f"and {wanted[1]}"
            )
    return said + token_faults(lora.tokens, places.config)


def attach_lora(bundle: TextToImage, lora: Lora, scale: float = 1.0, name: str = DEFAULT) -> None:
    """Put a LoRA on a model's networks and give it the LoRA's learned tokens.

    Raises ValueError that lists what does not fit, before anything is changed.
    """
    refuse("the LoRA", misfits(lora, places_of(bundle)))
    add_tokens(bundle, lora.tokens)
    for part in PARTS:
        factors, module = lora.part(part), bundle.modules[part]
        if factors:
            attach_state(module, _state(factors), _alphas(factors), name, prefix="")
            set_scale(module, name, scale)


def folded(lora: Lora) -> Lora:
    """Return the LoRA with every scale α / r multiplied into B, for grammars that know no α.

    Exact where α / r is a power of two, else rounded once in B's dtype.
    """
    return changed(lora, lambda found: Factors(found.A, found.B * found.scale))


def converted(lora: Lora, dtype: torch.dtype) -> Lora:
    """Return the LoRA with its factors and tokens in another dtype."""
    tokens = {token: vectors.to(dtype) for token, vectors in lora.tokens.items()}
    cast = changed(lora, lambda f: Factors(f.A.to(dtype), f.B.to(dtype), f.alpha))
    return replace(cast, tokens=tokens)


def changed(lora: Lora, change: Callable[[Factors], Factors]) -> Lora:
    """Return the LoRA with the factors of every layer changed."""
    unet, text = (
        {layer: change(found) for layer, found in lora.part(part).items()} for part in PARTS
    )
    return replace(lora, unet=unet, text=text)


def _state(factors: Mapping[str, Factors]) -> dict[str, Tensor]:
    return {
        f"{layer}.lora_{letter}.weight": tensor
        for layer, found in factors.items()
        for letter, tensor in (("A", found.A), ("B", found.B))
    }


def _alphas(factors: Mapping[str, Factors]) -> dict[str, float | None]:
    return {layer: found.alpha for layer, found in factors.items()}
