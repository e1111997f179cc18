"""The config.json of transformers' CLIPModel, and our configuration: from it, and to it.

A setting that our networks do not have is refused by its name and value.
"""

from typing import Any

from latentgeo.models.clip_vision import CLIPConfig, VisionConfig
from latentgeo.models.formats.diffusers.config import read_text, write_text
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
    tables = {
        part: _plain(reader.take(f"{part}_config_dict") or reader.take(f"{part}_config") or {})
        for part in ("text", "vision")
    }
    for part in tables:
        reader.take(f"{part}_config")
    end = tables["text"].get("eos_token_id", 49407)
    text = read_text(tables["text"], f"{where}, text_config")
    vision = read_vision(tables["vision"], f"{where}, vision_config")
    projection = reader.take("projection_dim", 512)
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
    width, inner = reader.take("hidden_size", 768), reader.take("intermediate_size", 3072)
    if inner % width:
        raise reader.error("intermediate_size", inner, f"a multiple of hidden_size, {width}")
    config = VisionConfig(
        size=reader.one("image_size", 224),
        patch=reader.one("patch_size", 32),
        width=width,
        layers=reader.take("num_hidden_layers", 12),
        heads=reader.take("num_attention_heads", 12),
        mlp=inner // width,
        activation=reader.take("hidden_act", "quick_gelu"),
        eps=reader.take("layer_norm_eps", 1e-5),
    )
    reader.nothing_else()
    return config


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
