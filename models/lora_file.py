"""What a file of LoRA weights says beside its tensors: ranks and α, in our words and in PEFT's.

A safetensors file holds a table of strings. `rank` and `alpha` are ours; `lora_adapter_metadata` is
the configuration that diffusers hands to PEFT, which without it takes α for the rank.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

PEFT = "lora_adapter_metadata"


def describe(ranks: Mapping[str, int], alpha: float | None, prefix: str) -> dict[str, str]:
    """Return the metadata of an adapter: its rank by layer, and α, None for each layer's rank."""
    start = f"{prefix}." if prefix else ""
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {layer: other for layer, other in ranks.items() if other != rank}
    config = {
        "r": rank,
        "lora_alpha": rank if alpha is None else alpha,
        "target_modules": [*ranks],
        "rank_pattern": others,
        "alpha_pattern": others if alpha is None else {},
    }
    return {
        "format": "pt",
        "rank": str(rank),
        "alpha": "rank" if alpha is None else str(alpha),
        PEFT: json.dumps({start + key: value for key, value in config.items()}, sort_keys=True),
    }


def read_lora(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no LoRA file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def stored_alpha(metadata: Mapping[str, str], prefix: str) -> float | None:
    """Return α from a file's metadata, ours or diffusers'; None, the rank, if it has none."""
    if "alpha" in metadata:
        return None if metadata["alpha"] == "rank" else float(metadata["alpha"])
    config = json.loads(metadata.get(PEFT, "{}"))
    start = f"{prefix}." if prefix else ""
    if config.get(start + "alpha_pattern") or config.get(start + "rank_pattern"):
        raise ValueError("several ranks or alphas in one file of diffusers; fold them into lora_B")
    alpha, rank = config.get(start + "lora_alpha"), config.get(start + "r")
    return None if alpha in (None, rank) else float(alpha)
