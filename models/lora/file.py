"""What a file of LoRA weights says beside its tensors: ranks and α, in our words and in PEFT's.

A safetensors file holds a table of strings. `rank` and `alpha` are ours; `lora_adapter_metadata` is
the configuration that diffusers hands to PEFT, which without it takes α for the rank: one r and one
α, and patterns for the layers that have others.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from latentgeo.models.lora.peft import PEFT, Alpha

OWN = ("format", "rank", "alpha", PEFT)  # keys of the metadata that `describe` makes


def describe(ranks: Mapping[str, int], alpha: Alpha, prefix: str) -> dict[str, str]:
    """Return the metadata of an adapter: its rank by layer, and α, None for each layer's rank."""
    several = isinstance(alpha, Mapping)
    said = {} if several else {"alpha": "rank" if alpha is None else str(alpha)}
    config = peft_config(ranks, alpha, prefix)
    return {
        "format": "pt",
        "rank": str(_usual(ranks.values())),
        **said,
        PEFT: json.dumps(config, sort_keys=True),
    }


def peft_config(ranks: Mapping[str, int], alpha: Alpha, prefix: str) -> dict[str, object]:
    """Return the configuration that PEFT needs for an adapter, its keys behind the prefix."""
    start = f"{prefix}." if prefix else ""
    alphas = {layer: _alpha_of(alpha, layer, rank) for layer, rank in ranks.items()}
    rank, usual = _usual(ranks.values()), _usual(alphas.values())
    config = {
        "r": rank,
        "lora_alpha": usual,
        "target_modules": sorted(ranks),
        "rank_pattern": {layer: other for layer, other in ranks.items() if other != rank},
        "alpha_pattern": {layer: other for layer, other in alphas.items() if other != usual},
    }
    return {start + key: value for key, value in config.items()}


def read_lora(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises FileNotFoundError, or ValueError for a file of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no LoRA file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def _usual(values: Iterable[float]) -> float:
    """Return the most frequent value, the largest of several."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def _alpha_of(alpha: Alpha, layer: str, rank: int) -> float:
    """Return a layer's α, the rank where nothing else is said."""
    own = alpha.get(layer) if isinstance(alpha, Mapping) else alpha
    return rank if own is None else own
