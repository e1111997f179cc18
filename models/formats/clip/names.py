"""The two grammars of CLIP's files: transformers' names, which are ours, and OpenAI's.

OpenAI's has q, k and v of an attention fused into one tensor, in this order, and both projections
transposed, to be multiplied from the right.
Shape    neither says how many heads there are, nor which activation: OpenAI's networks have a head
         per 64 of width, and quick_gelu
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor

from latentgeo.models.clip import TextConfig
from latentgeo.models.clip_vision import CLIPConfig, VisionConfig
from latentgeo.models.formats.files.source import Shape
from latentgeo.models.formats.files.strict import Layout, Stored, own_layout

TEXT, VISION = "text_model.encoder.layers.", "vision_model.encoder.layers."
WORDS, PLACES = (f"text_model.embeddings.{kind}_embedding.weight" for kind in ("token", "position"))
PATCHES, CELLS = (
    f"vision_model.embeddings.{kind}_embedding.weight" for kind in ("patch", "position")
)
PROJECTIONS = ("text_projection.weight", "visual_projection.weight")
NAMES = {  # ours to OpenAI's, of tensors and of what is before their `.weight` or `.bias`
    WORDS: "token_embedding.weight",
    PLACES: "positional_embedding",
    CELLS: "visual.positional_embedding",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.final_layer_norm": "ln_final",
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
    "logit_scale": "logit_scale",
}
LAYERS = {TEXT: "transformer.resblocks.", VISION: "visual.transformer.resblocks."}
INSIDE = {  # a layer
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
FUSED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")  # in attn.in_proj_…
HEAD = 64  # width of a head
TELLING = {  # tensors whose shapes tell the configuration, and their number of axes
    WORDS: 2,
    PLACES: 2,
    PATCHES: 4,
    CELLS: 2,
    PROJECTIONS[0]: 2,
    f"{TEXT}0.mlp.fc1.weight": 2,
    f"{VISION}0.mlp.fc1.weight": 2,
}


@dataclass(frozen=True)
class Grammar:
    """One way to name CLIP's tensors."""

    family: str  # in `models/formats/files/families.py`
    name: Callable[[str], str]  # of ours in the file
    layout: Callable[[Mapping[str, Tensor]], Layout]  # of a state of ours in the file


class Tower(TypedDict):
    """The settings of a transformer that shapes tell, and its heads."""

    width: int
    layers: int
    heads: int
    mlp: int


def openai_layout(state: Mapping[str, Tensor]) -> Layout:
    """Return how a file of OpenAI's has a state of ours."""
    return {key: _stored(key, tuple(value.shape)) for key, value in state.items()}


def openai_name(key: str) -> str:
    """Return the name under which a file of OpenAI's has our tensor, alone or fused."""
    place, _, kind = key.rpartition(".")
    if key in NAMES or place in NAMES:
        return NAMES.get(key) or f"{NAMES[place]}.{kind}"
    ours = next(layers for layers in LAYERS if key.startswith(layers))
    number, _, part = place.removeprefix(ours).partition(".")
    inside = f"attn.in_proj_{kind}" if part in FUSED else f"{INSIDE[part]}.{kind}"
    return f"{LAYERS[ours]}{number}.{inside}"


def config_of(shapes: Mapping[str, Shape], name: Callable[[str], str]) -> CLIPConfig:
    """Return the configuration that a file's shapes tell, with OpenAI's heads and activation.

    Raises ValueError that lists the tensors it would take and that are missing, or have other axes.
    """
    found = {key: shapes.get(name(key), ()) for key in TELLING}
    if odd := [key for key, axes in TELLING.items() if len(found[key]) != axes or 0 in found[key]]:
        said = [f"{name(key)} is {found[key] or 'missing'}" for key in odd]
        raise ValueError(f"its shape cannot be told: {'; '.join(said)}")
    vocabulary, width = found[WORDS]
    channels, _, _, patch = found[PATCHES]
    vision, text = _tower(shapes, name, VISION, channels), _tower(shapes, name, TEXT, width)
    return CLIPConfig(
        vision=VisionConfig(size=math.isqrt(found[CELLS][0] - 1) * patch, patch=patch, **vision),
        text=TextConfig(vocabulary=vocabulary, context=found[PLACES][0], **text),
        projection=math.prod(found[PROJECTIONS[0]]) // width,
        end=vocabulary - 1,
    )


def _tower(
    shapes: Mapping[str, Shape], name: Callable[[str], str], layers: str, width: int
) -> Tower:
    """Return the shape of one encoder's transformer."""
    first = name(f"{layers}0.mlp.fc1.weight")
    start = first.partition("0.")[0]
    inside = [key.removeprefix(start) for key in shapes if key.startswith(start)]
    return {
        "width": width,
        "layers": len({key.partition(".")[0] for key in inside}),
        "heads": max(width // HEAD, 1),
        "mlp": shapes[first][0] // width,
    }


def _stored(key: str, shape: Shape) -> Stored:
    part = key.rpartition(".")[0].partition("layers.")[2].partition(".")[2]
    if part in FUSED:
        whole = (len(FUSED) * shape[0], *shape[1:])
        return Stored(openai_name(key), whole, (FUSED.index(part), len(FUSED)))
    if key in PROJECTIONS:
        return Stored(openai_name(key), shape[::-1], transposed=True)
    return Stored(openai_name(key), shape)


GRAMMARS = {
    "transformers": Grammar("clip", lambda key: key, own_layout),
    "openai": Grammar("clip-openai", openai_name, openai_layout),
}
