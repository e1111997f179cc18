"""The config.json of transformers' CLIPModel, and our configuration: from it, and to it.

A setting that our networks do not have is refused by its name and value.
"""

from typing import Any

from latentgeo.models.clip_vision import CLIPConfig, VisionConfig
from latentgeo.models.formats.diffusers.config import read_text, read_tower, write_text
from latentgeo.models.formats.files.json_kinds import CHANNELS, SIDE, TABLE, whole
from latentgeo.models.formats.files.json_settings import Json, Reader

MODEL = {"model_type": "clip"}
VISION = {"model_type": "clip_vision_model", "num_channels": 3}
TRAINING = ("logit_scale_init_value",)
GENERATION = (  # defaults for other models' sampling and heads, which older files list
    "id2label",
    "label2id",
    "length_penalty",
    "max_length",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "return_dict",
    "temperature",
    "tie_word_embeddings",
    "top_k",
    "top_p",
    "typical_p",
)
END_BEFORE = 2  # what older files give as the end of text; the highest id is meant


def looks_like_clip(data: Json) -> bool:
    """Whether a config.json is one of CLIPModel."""
    return data.get("model_type") == "clip" or {"text_config", "vision_config"} <= data.keys()


def read_clip_config(data: Json, where: str) -> CLIPConfig:
    """Return the configuration of both encoders.

    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, _plain(data))
    reader.fixed(MODEL)
    # Files that have both kinds of tables have the settings in the older one.
    tables = {}
    for part in ("text", "vision"):
        older, newer = (reader.take(f"{part}_config{end}", None, TABLE) for end in ("_dict", ""))
        tables[part] = _plain(older or newer or {})
    text = read_text(tables["text"], f"{where}, text_config")
    vision = read_vision(tables["vision"], f"{where}, vision_config")
    ends = Reader(f"{where}, text_config", tables["text"])
    end = ends.take("eos_token_id", 49407, whole(0, text.vocabulary - 1))
    projection = reader.take("projection_dim", 512, CHANNELS)
    reader.nothing_else()
    end = text.vocabulary - 1 if end == END_BEFORE else end
    return CLIPConfig(vision=vision, text=text, projection=projection, end=end)


def write_clip_config(config: CLIPConfig) -> dict[str, Any]:
    """Return the JSON of both encoders."""
    text = {k: v for k, v in write_text(config.text).items() if k != "architectures"}
    shared = {"projection_dim": config.projection}
    return {
        "architectures": ["CLIPModel"],
        **MODEL,
        **shared,
        "text_config": {**text, "eos_token_id": config.end, **shared},
        "vision_config": {**write_vision(config.vision), **shared},
    }


def read_vision(data: Json, where: str) -> VisionConfig:
    """Return the image encoder's configuration.

    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, dict(data))
    reader.fixed(VISION)
    patch = reader.one("patch_size", 32, SIDE)
    size = reader.one("image_size", 224, SIDE)
    if size % patch:
        raise reader.error("image_size", size, f"a multiple of patch_size, {patch}")
    tower = read_tower(reader, width=768, inner=3072, heads=12)
    reader.nothing_else()
    return VisionConfig(size=size, patch=patch, **tower)


def write_vision(config: VisionConfig) -> dict[str, Any]:
    """Return the image encoder's JSON."""
    return {
        **VISION,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "image_size": config.size,
        "intermediate_size": config.mlp * config.width,
        "layer_norm_eps": config.eps,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "patch_size": config.patch,
    }


def _plain(data: Json) -> dict[str, Any]:
    """Return the settings that say something of the network."""
    return {k: v for k, v in data.items() if k not in (*GENERATION, *TRAINING)}
