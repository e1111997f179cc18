"""Seeds: named streams of random numbers from one seed, and the global generators' state.

No mathematics; numpy is imported only where its own generator is seeded or read.
"""

import hashlib
import math
import random
import warnings

import torch
from torch import Tensor

from latentgeo.core.run.limits import check_seed


def mix(seed: int, *stream: int | str) -> int:
    """Return a 63-bit seed for one named stream of random numbers: `mix(seed, "noise", rank)`.

    Without a stream it is the seed itself. Streams of neighbouring seeds or ranks do not coincide.
    Raises ValueError for a seed below 0 or of more than 64 bits.
    """
    check_seed(seed)
    if not stream:
        return seed
    digest = hashlib.sha256(repr((seed, *stream)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *stream: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for one named stream.

    Draw on the CPU and move the tensor where a result must not depend on the device.
    """
    return torch.Generator(device).manual_seed(mix(seed, *stream))


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed the global generators of python, numpy and torch, differently on each rank."""
    import numpy

    seed = mix(seed, "global", rank)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_random_state(device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return the global generators' states as tensors: python, numpy, torch on CPU and on a GPU.

    Tensors alone, so that safetensors and `torch.load(weights_only=True)` carry them.
    """
    import numpy

    _, words, gauss = random.getstate()
    twister = numpy.random.get_state(legacy=False)
    state = {
        "python": torch.tensor(words),
        "python.gauss": torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
        "numpy": torch.tensor([*twister["state"]["key"].tolist(), twister["state"]["pos"]]),
        "numpy.has_gauss": torch.tensor(twister["has_gauss"]),
        "numpy.gauss": torch.tensor(twister["gauss"], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor], device: torch.device | str = "cpu") -> None:
    """Set the global generators to what `capture_random_state` returned.

    Warns when the state's GPU generator is missing or has no GPU to go to: the run then continues
    with other random numbers than it would have had.
    """
    import numpy

    gauss = state["python.gauss"].item()
    words = tuple(state["python"].tolist())
    random.setstate((3, words, None if math.isnan(gauss) else gauss))
    *keys, position = state["numpy"].tolist()
    twister = {
        "bit_generator": "MT19937",
        "state": {"key": numpy.array(keys, dtype=numpy.uint32), "pos": position},
        "has_gauss": state["numpy.has_gauss"].item(),
        "gauss": state["numpy.gauss"].item(),
    }
    numpy.random.set_state(twister)
    torch.set_rng_state(state["torch"].cpu())
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    elif on_gpu or "cuda" in state:
        warnings.warn(f"the random state was not captured for device {device}", stacklevel=2)
