"""PEFT's configuration of an adapter: each key is read, changes nothing here, or refuses the file.

The keys are LoraConfig's of PEFT 0.21, and those of older ones that files still have. Without
`lora_alpha` α is 8. The first pattern that fits the end of a layer's name gives it its own α.
"""

import json
from collections.abc import Mapping, Sequence

from latentgeo.models.lora.patterns import first_matches

PEFT = "lora_adapter_metadata"
Alpha = float | None | Mapping[str, float | None]  # of all layers, or by layer; None is the rank
Config = Mapping[str, object]  # what JSON holds is not known before it is checked
ALPHA = 8.0  # PEFT's own, where a configuration has none
MOST = 1e9  # no rank and no α is larger
READ = {
    *("peft_type", "init_lora_weights", "r", "lora_alpha"),
    *("rank_pattern", "alpha_pattern", "use_rslora"),
}
HARMLESS = {  # of the training, or of other layers than linear ones and convolutions
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision"),
    *("task_type", "runtime_config", "lora_dropout", "ensure_weight_tying", "merge_weights"),
    *("fan_in_fan_out", "megatron_config", "megatron_core"),  # PEFT passes it over on ours
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),  # see the keys
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),  # go with an initialisation
    "qalora_group_size",  # goes with use_qalora
}
OFF = {  # what makes something else of the two factors
    "use_dora": "DoRA: magnitudes beside the factors",
    "use_qalora": "QA-LoRA: factors of pooled inputs",
    "use_bdlora": "BD-LoRA: factors in blocks",
    "lora_bias": "biases beside the factors",
    "bias": "biases of the base, trained",
    "modules_to_save": "whole layers beside the factors",
    "trainable_token_indices": "trained rows of an embedding",
    "target_parameters": "factors of parameters that are no layer's",
    "layer_replication": "layers used several times",
    "alora_invocation_tokens": "aLoRA: factors for some tokens alone",
    "arrow_config": "Arrow: a choice among several adapters",
    "kasa_config": "KaSA: it cuts small singular values off the base",
    "monteclora_config": "MonteCLoRA: random factors",
    "velora_config": "VeLoRA: tensors beside the factors",
    "enable_lora": "factors of a part of a layer's outputs",
}
PLAIN = ("true", "false", "null", '"gaussian"', '"orthogonal"', '"eva"', '"mica"')
MOVED = {  # initialisations that take the first factors out of the base, by how they begin
    "pissa": "PiSSA",
    "corda": "CorDA",
    "olora": "OLoRA",
    "loftq": "LoftQ",
    "lora_ga": "LoRA-GA",
}


def json_object(text: str, where: str) -> dict[str, object]:
    """Return the object that a text of JSON holds; ValueError names where it stands."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{where} is no JSON object but {_shown(found)}")
    return found


def peft_settings(metadata: Mapping[str, str], prefix: str) -> dict[str, object]:
    """Return the configuration of the network behind a prefix, each of its keys checked."""
    start = f"{prefix}." if prefix else ""
    whole = json_object(metadata.get(PEFT, "{}"), PEFT)
    found = {key.removeprefix(start): whole[key] for key in whole if key.startswith(start)}
    _check(found)
    return found


def stored_alpha(metadata: Mapping[str, str], prefix: str, ranks: Mapping[str, int]) -> Alpha:
    """Return α from a file's metadata, ours or diffusers'; None, the rank, if it has none.

    Raises ValueError, by name, for a configuration that cannot be followed.
    """
    config = peft_settings(metadata, prefix)
    own = metadata.get("alpha")
    if own is not None:
        return None if own == "rank" else _own(own)
    if not config or not ranks:
        return None
    _check_ranks(config, ranks)
    alphas = _by_layer(config, "alpha_pattern", [*ranks], _number(config, "lora_alpha", ALPHA))
    if config.get("use_rslora"):  # its scale is α / √r
        alphas = {layer: alpha * ranks[layer] ** 0.5 for layer, alpha in alphas.items()}
    if all(alphas[layer] == rank for layer, rank in ranks.items()):
        return None
    values = set(alphas.values())
    return values.pop() if len(values) == 1 else alphas


def _check(config: Config) -> None:
    """Raise ValueError for the first key that changes what the factors mean, or is unknown."""
    for name, value in config.items():
        if name in OFF and value not in (None, False, [], "none"):
            raise ValueError(f"{OFF[name]} ({name}) is not read here")
        if name not in {*OFF, *READ, *HARMLESS}:
            raise ValueError(f"its configuration has {name!r}, which is not known here")
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise ValueError(f"peft_type is {_shown(kind)}, wanted LORA: another method of PEFT")
    if not isinstance(config.get("use_rslora"), bool | None):
        raise ValueError(f"use_rslora is {_shown(config['use_rslora'])}, wanted true or false")
    _check_start(json.dumps(config.get("init_lora_weights")).lower())


def _check_start(start: str) -> None:
    """Raise ValueError for an initialisation after which the factors are not all that changed."""
    name = next((name for begin, name in MOVED.items() if start.startswith(f'"{begin}')), None)
    if name:
        raise ValueError(
            f"init_lora_weights is {start}: {name} changed the base's weights, which are not in "
            "the file; convert it to plain LoRA, or merge it into a checkpoint, with PEFT"
        )
    if start not in PLAIN:
        raise ValueError(f"init_lora_weights is {start}, wanted one of {', '.join(PLAIN)}")


def _check_ranks(config: Config, ranks: Mapping[str, int]) -> None:
    """Raise ValueError where the ranks that a configuration gives are not those of the factors."""
    if "r" not in config:
        return
    stated = _by_layer(config, "rank_pattern", [*ranks], _number(config, "r", ALPHA))
    for layer, rank in ranks.items():
        if stated[layer] != rank:
            raise ValueError(
                f"{layer} has rank {rank}, and the configuration says {stated[layer]:g}"
            )


def _by_layer(config: Config, name: str, layers: Sequence[str], usual: float) -> dict[str, float]:
    """Return the number that each layer has, its own by the patterns of that name, or the usual."""
    table = config.get(name)
    if table is None:
        return dict.fromkeys(layers, usual)
    if not isinstance(table, dict):
        raise ValueError(f"{name} is {_shown(table)}, wanted an object of numbers by pattern")
    values = {pattern: _number(table, pattern, usual, f"{name} of ") for pattern in table}
    try:
        fits = first_matches([*values], layers)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return {layer: values[fits[layer]] if layer in fits else usual for layer in layers}


def _number(table: Config, name: str, usual: float, start: str = "") -> float:
    """Return a positive number of a table."""
    value = table.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST:
        raise ValueError(f"{start}{name} is {_shown(value)}, wanted a number above 0")
    return float(value)


def _own(text: str) -> float:
    try:
        return _number({"alpha": float(text)}, "alpha", ALPHA)
    except ValueError:
        raise ValueError(f"alpha is {_shown(text)}, wanted 'rank' or a number above 0") from None


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 100 else f"{text[:100]}…"
